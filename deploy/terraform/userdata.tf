# User data as Joinery's own renderer writes it (package userdata), byte for byte: a
# changed rendering would be a new version of every launch template. There is no place
# for a secret in it.

locals {
  # Text that YAML reads as itself without quotes.
  plain_cluster = can(regex("^/?[a-zA-Z]{3,}[a-zA-Z0-9/_.-]*$", var.cluster)) && !contains(["true", "false", "null", "yes", "off"], lower(var.cluster))

  kubelet = { for name, g in var.groups : name => merge(
    g.max_pods == null ? {} : { maxPods = g.max_pods },
    { for field, value in { kubeReserved = g.kube_reserved, systemReserved = g.system_reserved, evictionHard = g.eviction_hard } : field => value if length(value) > 0 },
  ) }

  # The fields of a taint in the order of Kubernetes' own type.
  taints = { for name, g in var.groups : name => [for t in g.taints :
    "{${join(",", [for field in [["key", t.key], ["value", t.value], ["effect", t.effect]] : "\"${field[0]}\":${jsonencode(field[1])}" if field[1] != null && field[1] != ""])}}"
  ] }

  user_data = { for name, g in var.groups : name => join("", [for line in compact([
    "apiVersion: joinery.dev/v1alpha1",
    "kind: NodeConfig",
    "spec:",
    "  cluster: ${local.plain_cluster ? var.cluster : jsonencode(var.cluster)}",
    g.node_name == "ip-name" ? "" : "  nodeName: ${jsonencode({ mode = g.node_name })}",
    length(g.labels) == 0 ? "" : "  labels: ${jsonencode(g.labels)}",
    length(g.taints) == 0 ? "" : "  taints: [${join(",", local.taints[name])}]",
    length(local.kubelet[name]) == 0 ? "" : "  kubelet: ${jsonencode(local.kubelet[name])}",
  ]) : "${line}\n"]) }
}
