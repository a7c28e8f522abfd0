# What packer's registry of integrations shows.
integration {
  name        = "Joinery"
  description = "Bakes node images for kubeadm clusters on EC2 whose nodes join by themselves."
  identifier  = "packer/joinery/joinery"
  component {
    type = "provisioner"
    name = "Joinery node image"
    slug = "node"
  }
}
