# The parameter with the join bundle is made by the controller, not here: its value is a
# secret, and would be in Terraform's state.

locals {
  trust = templatefile("${path.module}/policies/trust.json.tftpl", { DNS_SUFFIX = data.aws_partition.current.dns_suffix })

  makes_control_plane_role = var.control_plane_role_name == null
  control_plane_role       = local.makes_control_plane_role ? aws_iam_role.control_plane[0].name : var.control_plane_role_name
}

resource "aws_iam_role" "node" {
  name                 = "${local.name}-node"
  description          = "Workers of the cluster ${var.cluster}: read the join bundle, and nothing else"
  assume_role_policy   = local.trust
  permissions_boundary = var.permissions_boundary
  tags                 = local.tags
}

resource "aws_iam_role_policy" "node" {
  name   = "joinery-node"
  role   = aws_iam_role.node.name
  policy = templatefile("${path.module}/policies/node.json.tftpl", local.policy_values)
}

resource "aws_iam_instance_profile" "node" {
  name = "${local.name}-node"
  role = aws_iam_role.node.name
  tags = local.tags
}

resource "aws_iam_role" "control_plane" {
  count = local.makes_control_plane_role ? 1 : 0

  name                 = "${local.name}-control-plane"
  description          = "Control-plane nodes of the cluster ${var.cluster}, on which joinery-controller runs"
  assume_role_policy   = local.trust
  permissions_boundary = var.permissions_boundary
  tags                 = local.tags
}

resource "aws_iam_instance_profile" "control_plane" {
  count = local.makes_control_plane_role ? 1 : 0

  name = "${local.name}-control-plane"
  role = aws_iam_role.control_plane[0].name
  tags = local.tags
}

resource "aws_iam_role_policy" "controller" {
  name   = "joinery-controller"
  role   = local.control_plane_role
  policy = templatefile("${path.module}/policies/controller.json.tftpl", local.policy_values)
}

resource "aws_iam_role_policy" "controller_queue" {
  count = var.event_queue ? 1 : 0

  name   = "joinery-controller-queue"
  role   = local.control_plane_role
  policy = templatefile("${path.module}/policies/optional-queue.json.tftpl", local.policy_values)
}

resource "aws_iam_role_policy" "controller_legacy" {
  count = var.legacy_token_parameter == null ? 0 : 1

  name   = "joinery-controller-legacy"
  role   = local.control_plane_role
  policy = templatefile("${path.module}/policies/optional-legacy.json.tftpl", local.policy_values)
}
