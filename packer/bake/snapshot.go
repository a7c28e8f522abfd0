package bake

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/joinery/joinery/packer/check"
)

// Check makes the checks of packer/check on the machine as it is and returns what
// it fails. It is made after Bake and changes nothing.
func (b Baker) Check(ctx context.Context) ([]check.Finding, error) {
	dir, err := os.MkdirTemp("", "joinery-check-")
	if err != nil {
		return nil, fmt.Errorf("check machine: %w", err)
	}
	defer os.RemoveAll(dir)
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("check machine: %w", err)
	}
	defer root.Close()
	out, err := b.Machine.Run(ctx, snapshot)
	if err != nil {
		return nil, fmt.Errorf("check machine: read its files: %w", err)
	}
	if err := restore(root, out); err != nil {
		return nil, fmt.Errorf("check machine: read its files: %w", err)
	}
	return check.Image(root.FS().(fs.ReadLinkFS)) // os.Root's file system is one
}

// snapshot prints what the checks look at as a tar archive that fits into a
// terminal. Of a program the beginning is enough: it is read from a copy.
const snapshot = `set -e
cd /
heads=$(mktemp -d)
trap 'rm -rf "$heads"' EXIT
mkdir "$heads/root"
for f in usr/local/sbin/* usr/local/bin/* usr/bin/containerd* usr/bin/runc usr/bin/kube* usr/bin/crictl usr/sbin/runc opt/cni/bin/* \
	usr/sbin/conntrack usr/sbin/ethtool usr/sbin/ip usr/bin/ip usr/sbin/iptables usr/bin/mount; do
	[ -f "$f" ] || continue
	mkdir -p "$heads/root/$(dirname "$f")"
	head -c 64 "$f" > "$heads/root/$f"
	chmod --reference="$f" "$heads/root/$f"
done
{
	for f in bin sbin lib; do [ ! -L "$f" ] || echo "$f"; done
	find etc var/log var/lib/dbus var/lib/cloud var/lib/dhcp var/lib/joinery var/lib/kubelet var/lib/systemd/random-seed \
		var/lib/systemd/credential.secret var/lib/dpkg/status var/tmp root home loader usr/lib/systemd/system -xdev -size -16384k \( -type f -o -type d -o -type l \) 2>/dev/null || true
	find var/cache/apt/archives -maxdepth 1 -name '*.deb' 2>/dev/null || true
} > "$heads/list"
tar --create --no-recursion --ignore-failed-read --warning=none --file="$heads/files.tar" --files-from="$heads/list" || [ $? -eq 1 ]
tar --append --file="$heads/files.tar" --directory="$heads/root" .
gzip < "$heads/files.tar" | base64
`

// mostSnapshot bounds what a machine can make us unpack.
const mostSnapshot = 4 << 30

// restore unpacks a snapshot. The machine is not believed: root keeps every path
// inside the directory.
func restore(root *os.Root, printed string) error {
	packed, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(printed), ""))
	if err != nil {
		return err
	}
	zr, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return err
	}
	tr := tar.NewReader(io.LimitReader(zr, mostSnapshot))
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := restoreOne(root, h, tr); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
}

func restoreOne(root *os.Root, h *tar.Header, content io.Reader) error {
	name := strings.TrimPrefix(strings.TrimSuffix(h.Name, "/"), "./")
	if at := strings.LastIndex(name, "/"); at > 0 {
		if err := root.MkdirAll(name[:at], 0o755); err != nil {
			return err
		}
	}
	switch h.Typeflag {
	case tar.TypeDir:
		if name == "." {
			return nil
		}
		return root.MkdirAll(name, 0o755)
	case tar.TypeSymlink:
		return root.Symlink(h.Linkname, name)
	case tar.TypeLink:
		return root.Link(h.Linkname, name)
	}
	out, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, content)
	return errors.Join(err, out.Chmod(fs.FileMode(h.Mode).Perm()|0o400), out.Close())
}
