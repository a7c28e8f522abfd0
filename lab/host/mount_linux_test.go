package host

import (
	"reflect"
	"testing"
)

func TestMountsBelow(t *testing.T) {
	const mountinfo = `22 1 8:1 / / rw - ext4 /dev/a rw
30 22 0:5 / /run/lab/x rw - overlay overlay rw
31 22 0:5 / /run/lab/x/a\040b rw - overlay overlay rw
32 22 0:5 / /run/lab/xy rw - overlay overlay rw
broken
`
	want := []string{"/run/lab/x", "/run/lab/x/a b"}
	if got := mountsBelow(mountinfo, "/run/lab/x"); !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLayeredIn(t *testing.T) {
	const mountinfo = `22 1 8:1 / / rw - ext4 /dev/a rw
30 22 0:5 / /run/lab/x rw - overlay overlay rw,lowerdir=/run/own:/cache/image/node-a:/cache/image/base,upperdir=/run/up,workdir=/run/wk
31 22 8:1 / /cache/image/node-c rw - ext4 /dev/a rw
`
	for dir, want := range map[string]bool{
		"/cache/image/node-a": true, "/cache/image/base": true, "/run/own": true, "/cache/image": true,
		"/cache/image/node": false, "/cache/image/node-ab": false, "/cache/image/node-b": false, "/cache/image/node-c": false, "/run/lab/x": false,
	} {
		if got := layeredIn(mountinfo, dir); got != want {
			t.Errorf("%s: %t", dir, got)
		}
	}
}
