package image

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Mount shows the image at dir/root, as a disk whose changes go to dir/upper.
// host.Unmount ends it.
func (i Image) Mount(dir string) (root, upper string, err error) {
	for _, layer := range i.Layers {
		if strings.ContainsAny(layer, `:,\`) {
			return "", "", fmt.Errorf("mount image: layer %q has a character that overlay options cannot hold", layer)
		}
	}
	root, upper = filepath.Join(dir, "root"), filepath.Join(dir, "upper")
	work := filepath.Join(dir, "work")
	for _, d := range []string{root, upper, work} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return "", "", fmt.Errorf("mount image: %w", err)
		}
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", strings.Join(i.Layers, ":"), upper, work)
	if err := unix.Mount("overlay", root, "overlay", 0, options); err != nil {
		return "", "", fmt.Errorf("mount image: %w", err)
	}
	return root, upper, nil
}
