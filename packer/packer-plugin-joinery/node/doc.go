// Package node is the provisioner joinery-node: packer/bake over packer's communicator,
// then packer/check on the result, so that a bad image fails the build.
package node
