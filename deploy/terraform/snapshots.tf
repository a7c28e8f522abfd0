# An instance whose snapshot is restored fast reads its first blocks at the volume's full
# speed. The image's snapshot is shared by all groups that launch from it.
resource "aws_ebs_fast_snapshot_restore" "image" {
  for_each = { for p in setproduct(var.fast_snapshot_restore.snapshot_ids, var.fast_snapshot_restore.availability_zones) : "${p[0]}/${p[1]}" => p }

  snapshot_id       = each.value[0]
  availability_zone = each.value[1]
}
