# One cluster with three groups: for every day, with a warm pool; of spot instances; and
# for builds, on tainted nodes with images of their own.

terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

variable "region" {
  description = "The cluster's region."
  type        = string
  default     = "us-west-2"
}

provider "aws" {
  region = var.region
}

module "joinery" {
  source = "../.."

  cluster                         = "prod"
  vpc_id                          = "vpc-0123456789abcdef0"
  subnet_ids                      = ["subnet-0aaaaaaaaaaaaaaaa", "subnet-0bbbbbbbbbbbbbbbb"]
  control_plane_security_group_id = "sg-0123456789abcdef0"
  image_id                        = "ami-0123456789abcdef0"
  tags                            = { team = "platform" }

  # The image's snapshot, where groups grow most.
  fast_snapshot_restore = { snapshot_ids = ["snap-0123456789abcdef0"], availability_zones = ["us-west-2a", "us-west-2b"] }

  # Cilium's and Flannel's VXLAN.
  cni_ports = [{ protocol = "udp", from = 8472, to = 8472 }]

  groups = {
    workers = {
      instance_types = ["m7i.large"]
      min_size       = 2
      max_size       = 20
      headroom       = 1
      warm_pool      = { min_size = 2, reuse = true }
    }
    spot = {
      instance_types = ["m7i.large", "m6i.large", "m5.large"]
      min_size       = 0
      max_size       = 50
      spot           = true
      price          = 0.04
      priority       = 10
      labels         = { "example.com/lifecycle" = "spot" }
    }
    builds = {
      instance_types  = ["c7i.2xlarge"]
      min_size        = 0
      max_size        = 5
      image_id        = "ami-0fedcba9876543210"
      subnet_ids      = ["subnet-0aaaaaaaaaaaaaaaa"]
      root_volume     = { device_name = "/dev/xvda", initialization_rate = 300 }
      node_name       = "resource-name"
      labels          = { "node-role.kubernetes.io/builder" = "", "example.com/use" = "builds" }
      taints          = [{ key = "example.com/builds", value = "yes", effect = "NoSchedule" }, { key = "example.com/loud", effect = "PreferNoSchedule" }]
      max_pods        = 20
      kube_reserved   = { cpu = "200m", memory = "512Mi" }
      system_reserved = { memory = "256Mi" }
      eviction_hard   = { "memory.available" = "5%" }
      hooks           = false
    }
  }
}

output "controller_config" {
  description = "To put into /etc/joinery/controller.yaml."
  value       = module.joinery.controller_config
}

output "joinery" {
  description = "All that the module says."
  value       = module.joinery
}
