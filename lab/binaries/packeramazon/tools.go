//go:build tools

// Package packeramazon pins packer's builder for EC2, apart from packer: in one module
// packer's newer requirements break it.
package packeramazon

import _ "github.com/hashicorp/packer-plugin-amazon"
