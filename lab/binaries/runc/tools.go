//go:build tools

// Package runc pins the OCI runtime that the lab's machines run.
package runc

import _ "github.com/opencontainers/runc"
