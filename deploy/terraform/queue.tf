# Events of lifecycle actions. They only say when to look, so nothing is kept for long
# and nothing goes to a dead-letter queue.

resource "aws_sqs_queue" "events" {
  count = var.event_queue ? 1 : 0

  name                      = local.name
  message_retention_seconds = 300
  sqs_managed_sse_enabled   = true
  tags                      = local.tags
}

resource "aws_sqs_queue_policy" "events" {
  count = var.event_queue ? 1 : 0

  queue_url = aws_sqs_queue.events[0].url
  policy    = templatefile("${path.module}/policies/queue-policy.json.tftpl", local.policy_values)
}

resource "aws_cloudwatch_event_rule" "lifecycle" {
  count = var.event_queue ? 1 : 0

  name        = local.name
  description = "Lifecycle actions of the groups of the cluster ${var.cluster}"
  # Groups of other clusters may have hooks of the same names.
  event_pattern = jsonencode({
    source        = ["aws.autoscaling"]
    "detail-type" = ["EC2 Instance-launch Lifecycle Action", "EC2 Instance-terminate Lifecycle Action"]
    detail = {
      AutoScalingGroupName = [for name in keys(var.groups) : "${var.cluster}-${name}"]
      LifecycleHookName    = [for h in local.hooks : h.name]
    }
  })
  tags = local.tags
}

# Instances cannot be told apart in the pattern: those of others are dropped by the
# controller.
resource "aws_cloudwatch_event_rule" "state" {
  count = var.event_queue ? 1 : 0

  name        = "${local.name}-state"
  description = "Instances that end, for the cluster ${var.cluster}"
  event_pattern = jsonencode({
    source        = ["aws.ec2"]
    "detail-type" = ["EC2 Instance State-change Notification"]
    detail        = { state = ["shutting-down", "terminated", "stopping", "stopped"] }
  })
  tags = local.tags
}

resource "aws_cloudwatch_event_target" "state" {
  count = var.event_queue ? 1 : 0

  rule      = aws_cloudwatch_event_rule.state[0].name
  target_id = "joinery"
  arn       = aws_sqs_queue.events[0].arn
}

resource "aws_cloudwatch_event_target" "queue" {
  count = var.event_queue ? 1 : 0

  rule      = aws_cloudwatch_event_rule.lifecycle[0].name
  target_id = "joinery"
  arn       = aws_sqs_queue.events[0].arn
}
