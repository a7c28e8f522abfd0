output "controller_config" {
  description = "/etc/joinery/controller.yaml for the control-plane nodes, to begin with."
  value = join("", [for line in compact([
    "apiVersion: joinery.dev/v1alpha1",
    "kind: ControllerConfig",
    "spec:",
    "  cluster: ${jsonencode(var.cluster)}",
    "  region: ${jsonencode(local.region)}",
    "  vpcID: ${jsonencode(var.vpc_id)}",
    "  bundle: ${jsonencode(merge({ kmsKeyID = aws_kms_alias.bundle.name }, var.legacy_token_parameter == null ? {} : { legacyTokenParameter = var.legacy_token_parameter }))}",
    "  approver: ${jsonencode({ nodeRoles = [aws_iam_role.node.name] })}",
    var.event_queue ? "  lifecycle: ${jsonencode({ queueURL = aws_sqs_queue.events[0].url })}" : "",
  ]) : "${line}\n"])
}

output "user_data" {
  description = "User data by group, not encoded. There is no secret in it."
  value       = local.user_data
}

output "groups" {
  description = "Auto Scaling groups and launch templates by the groups' short names."
  value = { for name in keys(var.groups) : name => {
    name                    = aws_autoscaling_group.group[name].name
    arn                     = aws_autoscaling_group.group[name].arn
    launch_template_id      = aws_launch_template.group[name].id
    launch_template_version = aws_launch_template.group[name].latest_version
  } }
}

output "parameter_name" {
  description = "The SSM parameter that the controller publishes the join bundle in."
  value       = "/joinery/${var.cluster}/join"
}

output "kms_key_arn" {
  description = "The key of the join bundle, as joinery iam takes it."
  value       = aws_kms_key.bundle.arn
}

output "node_role_name" {
  description = "Role of the workers."
  value       = aws_iam_role.node.name
}

output "control_plane_role_name" {
  description = "Role that the controller's policies are on."
  value       = local.control_plane_role
}

output "control_plane_instance_profile" {
  description = "Instance profile for control-plane nodes; null if you named a role of your own."
  value       = one(aws_iam_instance_profile.control_plane[*].name)
}

output "node_security_group_id" {
  description = "Security group of the workers."
  value       = aws_security_group.node.id
}

output "queue_url" {
  description = "spec.lifecycle.queueURL; null without a queue."
  value       = one(aws_sqs_queue.events[*].url)
}
