variable "groups" {
  description = "The cluster's groups by a short name. README.md describes the fields."
  type = map(object({
    instance_types = list(string)
    min_size       = number
    max_size       = number
    image_id       = optional(string)
    subnet_ids     = optional(list(string))
    spot           = optional(bool, false)
    root_volume = optional(object({
      device_name         = string
      initialization_rate = number
    }))

    node_name       = optional(string, "ip-name")
    labels          = optional(map(string), {})
    taints          = optional(list(object({ key = string, value = optional(string), effect = string })), [])
    max_pods        = optional(number)
    kube_reserved   = optional(map(string), {})
    system_reserved = optional(map(string), {})
    eviction_hard   = optional(map(string), {})

    hooks        = optional(bool, true)
    hook_timeout = optional(number, 300)
    warm_pool = optional(object({
      state        = optional(string, "Stopped")
      min_size     = optional(number, 0)
      max_prepared = optional(number)
      reuse        = optional(bool, false)
    }))

    price    = optional(number)
    priority = optional(number)
    headroom = optional(number)
  }))

  validation {
    condition     = length(var.groups) > 0 && alltrue([for name, g in var.groups : can(regex("^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$", name))])
    error_message = "groups: expected one at least, with names of at most 32 lower-case letters, digits and '-'."
  }
  validation {
    condition     = alltrue([for g in values(var.groups) : g.min_size >= 0 && g.min_size <= g.max_size && floor(g.min_size) == g.min_size && floor(g.max_size) == g.max_size])
    error_message = "groups: expected whole numbers with 0 <= min_size <= max_size."
  }
  validation {
    condition     = alltrue([for g in values(var.groups) : length(g.instance_types) > 0 && alltrue([for t in g.instance_types : can(regex("^[a-z0-9-]+\\.[a-z0-9-]+$", t))])])
    error_message = "groups: expected instance_types such as m7i.large, one at least."
  }
  validation {
    condition     = alltrue([for g in values(var.groups) : g.image_id == null || can(regex("^ami-[0-9a-f]{8,17}$", coalesce(g.image_id, "x")))])
    error_message = "groups: expected an image_id such as ami-0123456789abcdef0."
  }
  validation {
    condition     = alltrue([for g in values(var.groups) : g.subnet_ids == null || (length(coalesce(g.subnet_ids, [])) > 0 && alltrue([for s in coalesce(g.subnet_ids, []) : can(regex("^subnet-[0-9a-f]{8,17}$", s))]))])
    error_message = "groups: expected subnet_ids such as subnet-0123456789abcdef0, one at least."
  }
  validation {
    # EC2's bounds, in MiB/s.
    condition     = alltrue([for g in values(var.groups) : g.root_volume == null ? true : g.root_volume.initialization_rate >= 100 && g.root_volume.initialization_rate <= 300 && floor(g.root_volume.initialization_rate) == g.root_volume.initialization_rate])
    error_message = "groups: expected the initialization_rate of a root_volume to be a whole number from 100 to 300."
  }
  validation {
    condition     = alltrue([for g in values(var.groups) : g.root_volume == null ? true : can(regex("^/dev/[a-z]+[0-9]*$", g.root_volume.device_name))])
    error_message = "groups: expected the device_name of a root_volume to be the image's, such as /dev/xvda or /dev/sda1."
  }
  validation {
    condition     = alltrue([for g in values(var.groups) : contains(["ip-name", "resource-name", "instance-id"], g.node_name)])
    error_message = "groups: expected node_name to be ip-name, resource-name or instance-id."
  }
  validation {
    condition     = alltrue([for g in values(var.groups) : length(setintersection(keys(g.labels), ["node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"])) == 0])
    error_message = "groups: labels may not make a control-plane node of a worker."
  }
  validation {
    # Kubernetes' own rule; other values would stop every new node at its boot.
    condition = alltrue([for g in values(var.groups) : alltrue([
      for v in concat(values(g.labels), [for t in g.taints : coalesce(t.value, "x")]) : can(regex("^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$", v))
    ])])
    error_message = "groups: expected values of labels and taints of at most 63 letters, digits, '.', '_' and '-'."
  }
  validation {
    condition     = alltrue([for g in values(var.groups) : alltrue([for t in g.taints : contains(["NoSchedule", "PreferNoSchedule", "NoExecute"], t.effect)])])
    error_message = "groups: expected the effect of a taint to be NoSchedule, PreferNoSchedule or NoExecute."
  }
  validation {
    condition     = alltrue([for g in values(var.groups) : g.hook_timeout >= 30 && g.hook_timeout <= 7200])
    error_message = "groups: expected hook_timeout of 30 to 7200 seconds."
  }
  validation {
    condition     = alltrue([for g in values(var.groups) : g.warm_pool == null ? true : contains(["Stopped", "Running", "Hibernated"], g.warm_pool.state)])
    error_message = "groups: expected the state of a warm_pool to be Stopped, Running or Hibernated."
  }
  validation {
    # Auto Scaling keeps no spot instances in a warm pool. Of several types none was
    # tried.
    condition     = alltrue([for g in values(var.groups) : g.warm_pool == null || (!g.spot && length(g.instance_types) == 1)])
    error_message = "groups: expected a group with a warm_pool to have one instance type, and none of spot."
  }
  validation {
    condition     = alltrue([for g in values(var.groups) : g.headroom == null ? true : g.headroom >= 0 && g.headroom <= 1000 && floor(g.headroom) == g.headroom])
    error_message = "groups: expected headroom to be a whole number from 0 to 1000."
  }
  validation {
    condition     = alltrue([for g in values(var.groups) : g.priority == null ? true : floor(g.priority) == g.priority])
    error_message = "groups: expected priority to be a whole number."
  }
  validation {
    condition     = alltrue([for g in values(var.groups) : g.price == null ? true : g.price > 0])
    error_message = "groups: expected price to be US dollars an hour."
  }
}
