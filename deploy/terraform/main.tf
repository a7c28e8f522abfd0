data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}

locals {
  name = "joinery-${var.cluster}"

  # What instances carry as well. The discovery tags of Cluster Autoscaler are on groups
  # alone: a key with '/' cannot be on an instance that reads its tags from its metadata.
  cluster_tag = { "joinery:cluster" = var.cluster }
  tags        = merge(var.tags, local.cluster_tag)

  region    = data.aws_region.current.region
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition

  # The placeholders of the documents in policies/, which are those of deploy/iam.
  policy_values = {
    PARTITION   = local.partition
    REGION      = local.region
    ACCOUNT     = local.account
    CLUSTER     = var.cluster
    DNS_SUFFIX  = data.aws_partition.current.dns_suffix
    KMS_KEY_ARN = aws_kms_key.bundle.arn
    QUEUE       = local.name
    PARAMETER   = trimprefix(coalesce(var.legacy_token_parameter, "/"), "/")
  }
}

resource "aws_kms_key" "bundle" {
  description         = "Join bundles of the cluster ${var.cluster}"
  enable_key_rotation = true
  # The whole truth about who may use it is then in the roles' policies.
  policy = templatefile("${path.module}/policies/key-policy.json.tftpl", { PARTITION = local.partition, ACCOUNT = local.account })
  tags   = local.tags
}

resource "aws_kms_alias" "bundle" {
  name          = "alias/${local.name}"
  target_key_id = aws_kms_key.bundle.key_id
}
