variable "cluster" {
  description = "Name of the cluster, unique in account and region. The same as spec.cluster of the ControllerConfig."
  type        = string

  validation {
    # Joinery takes dots as well, but queues and aliases of keys cannot have any.
    condition     = can(regex("^[a-zA-Z0-9]([a-zA-Z0-9_-]*[a-zA-Z0-9])?$", var.cluster))
    error_message = "cluster: expected letters, digits, '_' and '-', with a letter or digit at both ends."
  }
  validation {
    # IAM takes 64 characters as a role's name, and the longest one here is
    # joinery-<cluster>-control-plane.
    condition     = length(var.cluster) <= 42
    error_message = "cluster: expected at most 42 characters: IAM has no longer names for roles."
  }
}

variable "vpc_id" {
  description = "The VPC that the cluster is in."
  type        = string

  validation {
    condition     = can(regex("^vpc-[0-9a-f]{8,17}$", var.vpc_id))
    error_message = "vpc_id: expected an id such as vpc-0123456789abcdef0."
  }
}

variable "subnet_ids" {
  description = "Subnets that groups launch into, unless they name their own."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) > 0 && alltrue([for s in var.subnet_ids : can(regex("^subnet-[0-9a-f]{8,17}$", s))])
    error_message = "subnet_ids: expected ids such as subnet-0123456789abcdef0, one at least."
  }
}

variable "control_plane_security_group_id" {
  description = "Security group of the control-plane nodes. It gets one rule: the API server for the workers."
  type        = string

  validation {
    condition     = can(regex("^sg-[0-9a-f]{8,17}$", var.control_plane_security_group_id))
    error_message = "control_plane_security_group_id: expected an id such as sg-0123456789abcdef0."
  }
}

variable "control_plane_role_name" {
  description = "Role that the control-plane nodes have already. With null the module makes one with an instance profile."
  type        = string
  default     = null

  validation {
    condition     = var.control_plane_role_name == null || can(regex("^[\\w+=,.@-]{1,64}$", coalesce(var.control_plane_role_name, "x")))
    error_message = "control_plane_role_name: expected the name of a role, without its path."
  }
}

variable "image_id" {
  description = "Image of groups that name none of their own."
  type        = string
  default     = null

  validation {
    condition     = var.image_id == null || can(regex("^ami-[0-9a-f]{8,17}$", coalesce(var.image_id, "x")))
    error_message = "image_id: expected an id such as ami-0123456789abcdef0."
  }
}

variable "api_server_port" {
  description = "Port of the API server on the control-plane nodes."
  type        = number
  default     = 6443

  validation {
    condition     = var.api_server_port >= 1 && var.api_server_port <= 65535
    error_message = "api_server_port: expected 1 to 65535."
  }
}

variable "cni_ports" {
  description = "What the pod network needs between control-plane nodes and workers, in both directions. Between workers everything is open."
  type = list(object({
    protocol = string
    from     = number
    to       = number
  }))
  default = []

  validation {
    condition     = alltrue([for p in var.cni_ports : contains(["tcp", "udp"], p.protocol) && p.from >= 1 && p.from <= p.to && p.to <= 65535])
    error_message = "cni_ports: expected protocol tcp or udp, and 1 <= from <= to <= 65535."
  }
}

variable "event_queue" {
  description = "Whether to make the queue of lifecycle events."
  type        = bool
  default     = true
}

variable "legacy_token_parameter" {
  description = "spec.bundle.legacyTokenParameter, while instances with legacy user data boot. It is weaker; null when it is over."
  type        = string
  default     = null

  validation {
    condition     = var.legacy_token_parameter == null || can(regex("^/?[a-zA-Z0-9_.-]+(/[a-zA-Z0-9_.-]+)*$", coalesce(var.legacy_token_parameter, "!")))
    error_message = "legacy_token_parameter: expected the name of an SSM parameter."
  }
}

variable "fast_snapshot_restore" {
  description = "Snapshots of images that are restored at full speed, and in which zones. It costs by the hour, snapshot and zone."
  type = object({
    snapshot_ids       = set(string)
    availability_zones = set(string)
  })
  default = { snapshot_ids = [], availability_zones = [] }

  validation {
    condition     = alltrue([for s in var.fast_snapshot_restore.snapshot_ids : can(regex("^snap-[0-9a-f]{8,17}$", s))])
    error_message = "fast_snapshot_restore: expected snapshot_ids such as snap-0123456789abcdef0."
  }
  validation {
    condition     = alltrue([for z in var.fast_snapshot_restore.availability_zones : can(regex("^[a-z]{2}(-[a-z]+)+-[0-9][a-z0-9-]*$", z))])
    error_message = "fast_snapshot_restore: expected availability_zones such as us-west-2a."
  }
  validation {
    condition     = (length(var.fast_snapshot_restore.snapshot_ids) == 0) == (length(var.fast_snapshot_restore.availability_zones) == 0)
    error_message = "fast_snapshot_restore: expected both snapshot_ids and availability_zones, or neither."
  }
}

variable "permissions_boundary" {
  description = "ARN of the boundary that your account wants on roles."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags on everything that the module makes. Those of the cluster win."
  type        = map(string)
  default     = {}

  validation {
    # An instance whose tags are in its metadata has no such key, and Joinery's own
    # tags are the module's to set.
    condition     = alltrue([for k in keys(var.tags) : !strcontains(k, "/") && !startswith(k, "joinery:")])
    error_message = "tags: expected keys without '/', and none that begins with joinery:."
  }
}
