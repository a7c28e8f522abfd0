//go:build tools

// Package etcdtools pins the programs that take snapshots of the lab's etcd and restore
// them.
package etcdtools

import (
	_ "go.etcd.io/etcd/etcdctl/v3"
	_ "go.etcd.io/etcd/etcdutl/v3"
)
