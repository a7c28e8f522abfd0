//go:build tools

// Package packer pins the packer that bakes images in the lab. Its licence is not a free
// one: it is a tool of tests, linked into nothing and part of no release.
package packer

import _ "github.com/hashicorp/packer"
