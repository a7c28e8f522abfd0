locals {
  # Their names are the defaults of spec.lifecycle. An instance that never becomes a node
  # is replaced, and one that could not be drained in time goes.
  hooks = {
    launch    = { name = "joinery-launch", transition = "autoscaling:EC2_INSTANCE_LAUNCHING", result = "ABANDON" }
    terminate = { name = "joinery-terminate", transition = "autoscaling:EC2_INSTANCE_TERMINATING", result = "CONTINUE" }
  }

  group_hooks = merge([for name, g in var.groups : {
    for key, h in local.hooks : "${name}/${key}" => merge(h, { group = name, timeout = g.hook_timeout }) if g.hooks
  }]...)

  # A policy of several types, or of spot instances, takes another block.
  mixed = { for name, g in var.groups : name => g.spot || length(g.instance_types) > 1 }

  discovery_tags = {
    "k8s.io/cluster-autoscaler/enabled"        = "true"
    "k8s.io/cluster-autoscaler/${var.cluster}" = "true"
  }

  settings = { for name, g in var.groups : name => { for tag, value in {
    "joinery:price"    = g.price
    "joinery:priority" = g.priority
    "joinery:headroom" = g.headroom
  } : tag => tostring(value) if value != null } }
}

resource "aws_launch_template" "group" {
  for_each = var.groups

  name                   = "${var.cluster}-${each.key}"
  description            = "Group ${each.key} of the cluster ${var.cluster}"
  update_default_version = true

  image_id               = coalesce(each.value.image_id, var.image_id)
  instance_type          = each.value.instance_types[0]
  user_data              = base64encode(local.user_data[each.key])
  vpc_security_group_ids = [aws_security_group.node.id]

  iam_instance_profile {
    arn = aws_iam_instance_profile.node.arn
  }

  # What is not set here is the image's: size, type, encryption.
  dynamic "block_device_mappings" {
    for_each = each.value.root_volume == null ? [] : [each.value.root_volume]
    content {
      device_name = block_device_mappings.value.device_name
      ebs {
        volume_initialization_rate = block_device_mappings.value.initialization_rate
      }
    }
  }

  # Pods do not get past one hop, and tokens are needed for every question.
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
    instance_metadata_tags      = "disabled"
  }

  # The node's name is then one that the VPC's DNS resolves.
  dynamic "private_dns_name_options" {
    for_each = each.value.node_name == "resource-name" ? [true] : []
    content {
      hostname_type                     = "resource-name"
      enable_resource_name_dns_a_record = true
    }
  }

  tag_specifications {
    resource_type = "instance"
    tags          = merge(local.tags, { Name = "${var.cluster}-${each.key}" })
  }

  tag_specifications {
    resource_type = "volume"
    tags          = merge(local.tags, { Name = "${var.cluster}-${each.key}" })
  }

  tags = local.tags

  lifecycle {
    precondition {
      condition     = each.value.image_id != null || var.image_id != null
      error_message = "groups[${each.key}]: expected an image_id, here or for all groups."
    }
  }
}

resource "aws_autoscaling_group" "group" {
  for_each = var.groups

  name                = "${var.cluster}-${each.key}"
  vpc_zone_identifier = coalesce(each.value.subnet_ids, var.subnet_ids)
  min_size            = each.value.min_size
  max_size            = each.value.max_size
  # desired_capacity is not set: it is the controller's.

  # Auto Scaling ends no working node, to balance zones or to shrink. The
  # controller ends instances by name, which protection does not hinder.
  protect_from_scale_in = true
  # An instance is in service when it is a Ready node, which takes a controller.
  wait_for_capacity_timeout = "0"
  health_check_type         = "EC2"

  dynamic "launch_template" {
    for_each = local.mixed[each.key] ? [] : [aws_launch_template.group[each.key]]
    content {
      id      = launch_template.value.id
      version = launch_template.value.latest_version
    }
  }

  dynamic "mixed_instances_policy" {
    for_each = local.mixed[each.key] ? [aws_launch_template.group[each.key]] : []
    content {
      instances_distribution {
        on_demand_percentage_above_base_capacity = each.value.spot ? 0 : 100
        spot_allocation_strategy                 = "price-capacity-optimized"
      }
      launch_template {
        launch_template_specification {
          launch_template_id = mixed_instances_policy.value.id
          version            = mixed_instances_policy.value.latest_version
        }
        # Without weights, which Joinery refuses.
        dynamic "override" {
          for_each = each.value.instance_types
          content {
            instance_type = override.value
          }
        }
      }
    }
  }

  # The same hooks as below, so that the first instances are held too.
  dynamic "initial_lifecycle_hook" {
    for_each = { for key, h in local.group_hooks : key => h if h.group == each.key }
    content {
      name                 = initial_lifecycle_hook.value.name
      lifecycle_transition = initial_lifecycle_hook.value.transition
      default_result       = initial_lifecycle_hook.value.result
      heartbeat_timeout    = initial_lifecycle_hook.value.timeout
    }
  }

  dynamic "warm_pool" {
    for_each = each.value.warm_pool == null ? [] : [each.value.warm_pool]
    content {
      pool_state                  = warm_pool.value.state
      min_size                    = warm_pool.value.min_size
      max_group_prepared_capacity = warm_pool.value.max_prepared
      instance_reuse_policy {
        reuse_on_scale_in = warm_pool.value.reuse
      }
    }
  }

  dynamic "tag" {
    for_each = merge(local.discovery_tags, local.settings[each.key])
    content {
      key                 = tag.key
      value               = tag.value
      propagate_at_launch = false
    }
  }

  dynamic "tag" {
    for_each = local.tags
    content {
      key                 = tag.key
      value               = tag.value
      propagate_at_launch = true
    }
  }
}

resource "aws_autoscaling_lifecycle_hook" "group" {
  for_each = local.group_hooks

  autoscaling_group_name = aws_autoscaling_group.group[each.value.group].name
  name                   = each.value.name
  lifecycle_transition   = each.value.transition
  default_result         = each.value.result
  heartbeat_timeout      = each.value.timeout
}
