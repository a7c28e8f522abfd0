# A cluster that comes from the usual recipe: control-plane nodes with a role, a
# Cluster Autoscaler with the policy "Resource": "*", an hourly token in the parameter
# jointoken, and one group of one to eight nodes of two CPUs. The role stays.
# Instances with the old user data go on joining by the old parameter until they are
# rolled; then legacy_token_parameter goes.

terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

variable "region" {
  description = "The cluster's region."
  type        = string
  default     = "ap-northeast-1"
}

variable "migrated" {
  description = "Whether no instance with the old user data is left."
  type        = bool
  default     = false
}

provider "aws" {
  region = var.region
}

module "joinery" {
  source = "../.."

  cluster                         = "K8S"
  vpc_id                          = "vpc-0123456789abcdef0"
  subnet_ids                      = ["subnet-0aaaaaaaaaaaaaaaa"]
  control_plane_security_group_id = "sg-0123456789abcdef0"
  control_plane_role_name         = "K8S-Masters"
  legacy_token_parameter          = var.migrated ? null : "jointoken"
  image_id                        = "ami-0123456789abcdef0"

  # The recipe's API server is behind a load balancer that passes 443 on.
  api_server_port = 443

  groups = {
    nodes = { instance_types = ["t3.medium"], min_size = 1, max_size = 8 }
  }
}

output "joinery" {
  description = "All that the module says."
  value       = module.joinery
}
