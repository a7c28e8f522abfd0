package machine

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/joinery/joinery/lab/image"
)

func TestPrefix(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		p := NewPrefix()
		seen[p] = true
		if prefixes.FindString(p) != p || len(p) != 6 {
			t.Fatalf("prefix %q", p)
		}
		// The router's end of the last address's link is the longest name.
		if name := p + "v254"; len(name) > 15 {
			t.Fatalf("link name %q is too long for the kernel", name)
		}
	}
	if len(seen) < 95 { // of a million: one collision would be bad luck
		t.Errorf("only %d different prefixes in 100", len(seen))
	}
}

func TestUUID(t *testing.T) {
	if id := newUUID(); len(id) != 36 || id[14] != '4' || !strings.ContainsRune("89ab", rune(id[19])) {
		t.Errorf("%s is not a random UUID (RFC 9562)", id)
	}
}

func TestConflist(t *testing.T) {
	var c struct {
		Plugins []struct {
			Type string
			IPAM struct {
				Type   string
				Ranges [][]struct{ Subnet string }
			}
		}
	}
	if err := json.Unmarshal(conflist(netip.MustParseAddr("10.99.0.17")), &c); err != nil {
		t.Fatal(err)
	}
	if len(c.Plugins) != 1 || c.Plugins[0].Type != "ptp" || c.Plugins[0].IPAM.Ranges[0][0].Subnet != "10.244.17.0/24" {
		t.Errorf("got %+v", c)
	}
}

func TestParseHierarchies(t *testing.T) {
	tests := []struct {
		name   string
		mounts string
		want   []string
		v2     bool
	}{
		{"hybrid", "tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n",
			[]string{"/sys/fs/cgroup/cpu", "/sys/fs/cgroup/unified"}, false},
		{"unified", "proc /proc proc rw 0 0\ncgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n", []string{"/sys/fs/cgroup"}, true},
		{"another place", "cgroup2 /mnt/cgroup cgroup2 rw 0 0\nrubbish\n", nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, v2 := parseHierarchies(tt.mounts); !reflect.DeepEqual(got, tt.want) || v2 != tt.v2 {
				t.Errorf("got %v, %v; want %v, %v", got, v2, tt.want, tt.v2)
			}
		})
	}
}

func TestValidate(t *testing.T) {
	good := Spec{ID: "i-0123456789abcdef0", CPUs: 2, MemoryMiB: 2048, Image: image.Image{Layers: []string{"/x"}}}
	if err := good.validate(); err != nil {
		t.Error(err)
	}
	tests := map[string]func(*Spec){
		"id with slash":  func(s *Spec) { s.ID = "../x" },
		"upper-case id":  func(s *Spec) { s.ID = "I-1" },
		"no id":          func(s *Spec) { s.ID = "" },
		"no CPU":         func(s *Spec) { s.CPUs = 0 },
		"no memory":      func(s *Spec) { s.MemoryMiB = 0 },
		"no image layer": func(s *Spec) { s.Image.Layers = nil },
	}
	for name, spoil := range tests {
		bad := good
		spoil(&bad)
		if bad.validate() == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}
