resource "aws_security_group" "node" {
  name        = "${local.name}-node"
  description = "Workers of the cluster ${var.cluster}"
  vpc_id      = var.vpc_id
  tags        = merge(local.tags, { Name = "${local.name}-node" })
}

resource "aws_vpc_security_group_ingress_rule" "node_from_node" {
  security_group_id            = aws_security_group.node.id
  description                  = "Pods and nodes among themselves"
  referenced_security_group_id = aws_security_group.node.id
  ip_protocol                  = "-1"
}

resource "aws_vpc_security_group_ingress_rule" "kubelet_from_control_plane" {
  security_group_id            = aws_security_group.node.id
  description                  = "API server to kubelets: logs, exec and metrics"
  referenced_security_group_id = var.control_plane_security_group_id
  ip_protocol                  = "tcp"
  from_port                    = 10250
  to_port                      = 10250
}

resource "aws_vpc_security_group_egress_rule" "node" {
  security_group_id = aws_security_group.node.id
  description       = "Image registries, AWS and the API server"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "-1"
}

resource "aws_vpc_security_group_ingress_rule" "api_from_node" {
  security_group_id            = var.control_plane_security_group_id
  description                  = "Workers of the cluster ${var.cluster} to the API server"
  referenced_security_group_id = aws_security_group.node.id
  ip_protocol                  = "tcp"
  from_port                    = var.api_server_port
  to_port                      = var.api_server_port
}

locals {
  cni_ports = { for p in var.cni_ports : "${p.protocol}-${p.from}-${p.to}" => p }
}

resource "aws_vpc_security_group_ingress_rule" "cni_from_control_plane" {
  for_each = local.cni_ports

  security_group_id            = aws_security_group.node.id
  description                  = "Pod network from control-plane nodes: ${each.key}"
  referenced_security_group_id = var.control_plane_security_group_id
  ip_protocol                  = each.value.protocol
  from_port                    = each.value.from
  to_port                      = each.value.to
}

resource "aws_vpc_security_group_ingress_rule" "cni_from_node" {
  for_each = local.cni_ports

  security_group_id            = var.control_plane_security_group_id
  description                  = "Pod network of the cluster ${var.cluster} from workers: ${each.key}"
  referenced_security_group_id = aws_security_group.node.id
  ip_protocol                  = each.value.protocol
  from_port                    = each.value.from
  to_port                      = each.value.to
}
