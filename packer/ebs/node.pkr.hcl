# The node image of Joinery on EC2. docs/image.md says how to use it, and deploy/iam
# has the policy that is enough for it.

packer {
  required_version = ">= 1.10.0"

  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon"
      version = ">= 1.8.2"
    }
    joinery = {
      source  = "github.com/joinery/joinery"
      version = ">= 0.1.0"
    }
  }
}

locals {
  systems = {
    "debian-12" = { owner = "136693071363", name = "debian-12-${var.architecture}-*", user = "admin", device = "/dev/xvda" }
    "debian-13" = { owner = "136693071363", name = "debian-13-${var.architecture}-*", user = "admin", device = "/dev/xvda" }
    "ubuntu-22.04" = {
      owner = "099720109477", name = "ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-${var.architecture}-server-*", user = "ubuntu", device = "/dev/sda1"
    }
    "ubuntu-24.04" = {
      owner = "099720109477", name = "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-${var.architecture}-server-*", user = "ubuntu", device = "/dev/sda1"
    }
  }
  hardware = {
    amd64 = { architecture = "x86_64", instance_type = "t3.medium" }
    arm64 = { architecture = "arm64", instance_type = "t4g.medium" }
  }
  system = local.systems[var.system]
  # The policy in deploy/iam lets packer touch only what carries this tag.
  owned = { "joinery:build" = "image" }
  described = merge(var.tags, local.owned, {
    "Name"                       = "joinery ${var.kubernetes_version} ${var.system} ${var.architecture}"
    "joinery:version"            = var.joinery_version
    "joinery:kubernetes-version" = var.kubernetes_version
    "joinery:containerd-version" = var.containerd_version
    "joinery:pause-image"        = var.pause_image
    "joinery:system"             = var.system
    "joinery:architecture"       = var.architecture
    "joinery:source-image"       = "{{ .SourceAMI }}"
    "joinery:source-image-name"  = "{{ .SourceAMIName }}"
  })
}

source "amazon-ebs" "node" {
  region              = var.region
  custom_endpoint_ec2 = var.ec2_endpoint

  source_ami_filter {
    owners      = [coalesce(var.source_owner, local.system.owner)]
    most_recent = true
    filters = {
      name                = local.system.name
      architecture        = local.hardware[var.architecture].architecture
      root-device-type    = "ebs"
      virtualization-type = "hvm"
    }
  }

  # The instance that is baked.
  instance_type                         = coalesce(var.instance_type, local.hardware[var.architecture].instance_type)
  subnet_id                             = var.subnet_id
  shutdown_behavior                     = "terminate"
  run_tags                              = merge(local.owned, { "Name" = "packer: joinery ${var.kubernetes_version}" })
  run_volume_tags                       = local.owned
  ssh_username                          = local.system.user
  ssh_interface                         = var.ssh_interface
  iam_instance_profile                  = var.iam_instance_profile
  temporary_key_pair_type               = "ed25519"
  temporary_security_group_source_cidrs = var.ssh_source_cidrs

  # A container, one hop further, does not reach the credentials.
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  # The root volume alone, so that replacing it replaces all of a node. It is encrypted
  # from the beginning: the image needs no copy.
  launch_block_device_mappings {
    device_name           = local.system.device
    volume_type           = "gp3"
    volume_size           = var.volume_size
    encrypted             = true
    kms_key_id            = var.kms_key_id
    delete_on_termination = true
  }

  # The image. No account but this one may launch it.
  ami_name        = "joinery-${var.kubernetes_version}-${var.system}-${var.architecture}-{{timestamp}}"
  ami_description = "Joinery node, Kubernetes ${var.kubernetes_version}, ${var.system}"
  imds_support    = "v2.0"
  tags            = local.described
  snapshot_tags   = local.described
}

build {
  sources = ["source.amazon-ebs.node"]

  # The last provisioner: it removes the key that packer logged in with.
  provisioner "joinery-node" {
    kubernetes_version = var.kubernetes_version
    containerd_version = var.containerd_version
    containerd_package = var.containerd_package
    pause_image        = var.pause_image
    images             = var.images
    offline            = var.offline

    dynamic "repository" {
      for_each = var.repositories
      content {
        name            = repository.value.name
        url             = repository.value.url
        suite           = repository.value.suite
        components      = repository.value.components
        key_file        = repository.value.key_file
        key_fingerprint = repository.value.key_fingerprint
      }
    }

    dynamic "archive" {
      for_each = var.archives
      content {
        component = archive.value.component
        url       = archive.value.url
        checksum  = archive.value.checksum
      }
    }

    dynamic "sums" {
      for_each = var.sums
      content {
        url             = sums.value.url
        signature_url   = sums.value.signature_url
        key_file        = sums.value.key_file
        key_fingerprint = sums.value.key_fingerprint
      }
    }
  }

  post-processor "manifest" {
    output     = var.manifest
    strip_path = true
  }
}
