# Two clusters in one VPC. Each has its own roles, key, parameter, queue and security
# group, so that neither can reach the other's.

terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

variable "region" {
  description = "The region of both."
  type        = string
  default     = "eu-central-1"
}

provider "aws" {
  region = var.region
}

locals {
  clusters = {
    prod    = { control_plane = "sg-0aaaaaaaaaaaaaaaa", max = 40 }
    staging = { control_plane = "sg-0bbbbbbbbbbbbbbbb", max = 5 }
  }
}

module "joinery" {
  source   = "../.."
  for_each = local.clusters

  cluster                         = each.key
  vpc_id                          = "vpc-0123456789abcdef0"
  subnet_ids                      = ["subnet-0aaaaaaaaaaaaaaaa", "subnet-0bbbbbbbbbbbbbbbb"]
  control_plane_security_group_id = each.value.control_plane
  image_id                        = "ami-0123456789abcdef0"

  groups = {
    workers = { instance_types = ["m7g.large"], min_size = 1, max_size = each.value.max }
  }
}

output "joinery" {
  description = "All that the module says, by cluster."
  value       = module.joinery
}
