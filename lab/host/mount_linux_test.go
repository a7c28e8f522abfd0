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
