# Where the image is built.

variable "region" {
  description = "The region of the image."
  type        = string
}

variable "subnet_id" {
  description = "The subnet of the build's instance. packer reaches it by SSH, and it reaches the repositories."
  type        = string
}

variable "ssh_source_cidrs" {
  description = "Where packer connects from: the build's security group admits nothing else."
  type        = list(string)

  validation {
    condition     = length(var.ssh_source_cidrs) > 0 && length([for c in var.ssh_source_cidrs : c if can(regex("/0$", c))]) == 0
    error_message = "The variable ssh_source_cidrs: expected the networks that packer connects from, not the whole Internet."
  }
}

variable "ssh_interface" {
  description = "The address that packer connects to: private_ip, public_ip or session_manager. The latter needs iam_instance_profile."
  type        = string
  default     = "private_ip"

  validation {
    condition     = contains(["private_ip", "public_ip", "session_manager"], var.ssh_interface)
    error_message = "The variable ssh_interface: expected private_ip, public_ip or session_manager."
  }
}

# A validation sees its own variable alone, so it is the builder that refuses
# session_manager without a profile.
variable "iam_instance_profile" {
  description = "The instance profile of the build's instance, with the rights of AmazonSSMManagedInstanceCore for session_manager; none if null."
  type        = string
  default     = null

  validation {
    condition     = var.iam_instance_profile == null || can(regex("^[A-Za-z0-9_+=,.@-]{1,128}$", var.iam_instance_profile))
    error_message = "The variable iam_instance_profile: expected the name of an instance profile, not its ARN."
  }
}

variable "instance_type" {
  description = "The type of the build's instance; t3.medium or t4g.medium by default."
  type        = string
  default     = null
}

variable "ec2_endpoint" {
  description = "The address of EC2's API, if it is another than the region's, such as that of a VPC endpoint."
  type        = string
  default     = null
}

# What the image is made from.

variable "system" {
  description = "The stock image: debian-12, debian-13, ubuntu-22.04 or ubuntu-24.04."
  type        = string
  default     = "debian-12"

  validation {
    condition     = contains(["debian-12", "debian-13", "ubuntu-22.04", "ubuntu-24.04"], var.system)
    error_message = "The variable system: expected debian-12, debian-13, ubuntu-22.04 or ubuntu-24.04."
  }
}

variable "architecture" {
  description = "amd64 or arm64."
  type        = string
  default     = "amd64"

  validation {
    condition     = contains(["amd64", "arm64"], var.architecture)
    error_message = "The variable architecture: expected amd64 or arm64."
  }
}

variable "source_owner" {
  description = "The account that publishes the stock image, where it is not that of the partition aws."
  type        = string
  default     = null
}

# What the image holds. The names are those of the provisioner's block.

variable "kubernetes_version" {
  description = "The version of kubeadm, kubelet and kubectl."
  type        = string
}

variable "containerd_version" {
  description = "The version of containerd."
  type        = string
}

variable "joinery_version" {
  description = "The release that the agent's archive is of. It becomes a tag."
  type        = string
}

variable "archives" {
  description = "Verified files, one of the component joinery-agent among them."
  type = list(object({
    component = string
    url       = string
    checksum  = string # null: the signed sums have it
  }))
}

variable "repositories" {
  description = "Signed apt repositories."
  type = list(object({
    name            = string
    url             = string
    suite           = string
    components      = list(string)
    key_file        = string
    key_fingerprint = string
  }))
  default = []
}

variable "sums" {
  description = "A signed file of checksums: one entry, or none."
  type = list(object({
    url             = string
    signature_url   = string
    key_file        = string
    key_fingerprint = string
  }))
  default = []
}

variable "offline" {
  description = "A directory of packages and archives, with which nothing is downloaded."
  type        = string
  default     = null
}

variable "images" {
  description = "Container images that the image holds, name:tag@sha256:… each."
  type        = list(string)
  default     = null
}

variable "containerd_package" {
  description = "The package of containerd; the provisioner's default if null."
  type        = string
  default     = null
}

variable "pause_image" {
  description = "The sandbox image of pods."
  type        = string
  default     = "registry.k8s.io/pause:3.10.2"
}

# What is registered.

variable "volume_size" {
  description = "GiB of the root volume."
  type        = number
  default     = 20
}

variable "kms_key_id" {
  description = "The key of the root volume; the account's default key for EBS if null."
  type        = string
  default     = null
}

variable "tags" {
  description = "More tags of the image and its snapshot."
  type        = map(string)
  default     = {}

  validation {
    condition     = length([for k in keys(var.tags) : k if can(regex("^joinery:", k))]) == 0
    error_message = "The variable tags: expected keys that do not begin with joinery:."
  }
}

variable "manifest" {
  description = "The file that packer writes the image's id to."
  type        = string
  default     = "manifest.json"
}
