package guide_test

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"

	"github.com/joinery/joinery/lab/bakery"
	"github.com/joinery/joinery/lab/image"
	"github.com/joinery/joinery/lab/kit"
	"github.com/joinery/joinery/lab/machine"
)

// offer makes what an upgrade and a restore need available where the guide looks for it:
// a repository of Kubernetes' packages, the control plane's images, and etcd's tools.
func (s *scene) offer(m *kit.Maintenance) {
	s.t.Helper()
	store, err := bakery.NewStore(m.After, s.agent, s.t.TempDir())
	s.must(err)
	stop, err := store.Serve(s.t.Context(), s.Host)
	s.must(err)
	s.t.Cleanup(func() {
		if err := stop(); err != nil {
			s.t.Error(err)
		}
	})
	// Each node's image was baked of a repository at this address, with another key.
	s.repository = map[string]image.File{
		"/etc/apt/keyrings/kubernetes.asc":           {Source: filepath.Join(store.Dir, "key.asc")},
		"/etc/apt/sources.list.d/kubernetes.sources": {Data: []byte("Types: deb\nURIs: " + bakery.Address + "\nSuites: ./\nSigned-By: /etc/apt/keyrings/kubernetes.asc\n")},
	}
	files := map[string]image.File{
		"/root/kubernetes-" + m.After.Programs.Kubernetes + ".tar": {Source: m.ControlPlane},
		"/usr/local/bin/etcdctl":                                   {Source: m.EtcdTools.Path("etcdctl"), Mode: 0o755},
		"/usr/local/bin/etcdutl":                                   {Source: m.EtcdTools.Path("etcdutl"), Mode: 0o755},
	}
	maps.Copy(files, s.repository)
	files["/usr/local/sbin/kubeadm"] = image.File{Data: []byte(upgrading()), Mode: 0o755}
	for _, master := range s.Cluster.Masters() {
		s.put(master.Machine, nil, files)
	}
}

// upgrading is a kubeadm that upgrades a cluster without CoreDNS, which its checks insist
// on even where it is disabled, and on control groups as ignoring has it. Other commands
// do not know the flag.
func upgrading() string {
	checks := "CoreDNSUnsupportedPlugins,CoreDNSMigration"
	if machine.CgroupV1() {
		checks += ",SystemVerification"
	}
	return `#!/bin/sh
[ "$1" != upgrade ] || set -- "$@" --ignore-preflight-errors=` + checks + `
exec /usr/bin/kubeadm "$@"
`
}

// copyBackup copies what the first master has of a backup to the others, as the guide has
// a person do.
func (s *scene) copyBackup() error {
	masters := s.Cluster.Masters()
	for _, name := range []string{"/root/snapshot.db", "/root/members"} {
		data, err := os.ReadFile(masters[0].Machine.Path(name))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, m := range masters[1:] {
			if err := image.WriteFiles(m.Machine.Path("/"), map[string]image.File{name: {Data: data, Mode: 0o600}}); err != nil {
				return err
			}
		}
	}
	return nil
}
