package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/joinery/joinery/lab/host"
	"github.com/joinery/joinery/lab/progress"
)

// StockUser is who logs in to a machine of a stock image, with the key of its launch.
const StockUser = "admin"

// stockPackages are what the distribution's image for EC2 has beyond the base.
func stockPackages() []string {
	return []string{"cloud-init", "openssh-server", "sudo"}
}

// Stock returns the layers of an image as the distribution publishes it for EC2, with
// real cloud-init and sshd, made once over base and then kept in cache. See Machine for
// what it needs in the lab besides.
func Stock(ctx context.Context, cache, base string, report progress.Func) (Image, error) {
	source, err := HostMirror("/")
	if err != nil {
		return Image{}, err
	}
	own, err := stockFiles()
	if err != nil {
		return Image{}, err
	}
	script, err := files.ReadFile("files/stock/install")
	if err != nil {
		return Image{}, fmt.Errorf("read embedded file: %w", err)
	}
	dir := stockDir(cache, base, script, own)
	err = Once(ctx, report, "image stock ("+source.Suite+")", dir, func() error { return makeStock(ctx, source, base, dir, string(script), own) })
	if err != nil {
		return Image{}, fmt.Errorf("make stock image: %w", err)
	}
	return Image{Layers: []string{dir, base}}, nil
}

// stockDir names the layer by all that decides about it.
func stockDir(cache, base string, script []byte, own map[string]File) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s %q %q\n", filepath.Base(base), stockPackages(), script)
	for _, name := range slices.Sorted(maps.Keys(own)) {
		fmt.Fprintf(h, "%s %q\n", name, own[name].Data)
	}
	return filepath.Join(cache, "image", "stock-"+hex.EncodeToString(h.Sum(nil))[:12])
}

// stockFiles are the lab's own among the layer's files.
func stockFiles() (map[string]File, error) {
	out := map[string]File{}
	for path, name := range map[string]string{
		"/etc/cloud/cloud.cfg.d/95_lab.cfg":                                "95_lab.cfg",
		"/usr/lib/python3/dist-packages/cloudinit_lab/DataSourceEc2Lab.py": "DataSourceEc2Lab.py",
	} {
		text, err := files.ReadFile("files/stock/" + name)
		if err != nil {
			return nil, fmt.Errorf("read embedded file: %w", err)
		}
		out[path] = File{Data: text}
	}
	out["/usr/lib/python3/dist-packages/cloudinit_lab/__init__.py"] = File{}
	return out, nil
}

func makeStock(ctx context.Context, source Source, base, dir, script string, own map[string]File) error {
	work := dir + ".partial"
	if err := os.RemoveAll(work); err != nil {
		return fmt.Errorf("remove half-made layer: %w", err)
	}
	cmd := exec.CommandContext(ctx, "unshare", append([]string{"--mount", "--propagation", "private", "sh", "-c", script, "sh"}, stockPackages()...)...)
	cmd.Env = append(os.Environ(), "BASE="+base, "WORK="+work, "PROXY="+host.AptProxy(ctx),
		"SOURCE=deb "+source.URI+" "+source.Suite+" "+strings.Join(source.Components, " "))
	if out, err := host.Run(cmd); err != nil {
		return fmt.Errorf("install %s: %w: %s", strings.Join(stockPackages(), " "), err, tail(out))
	}
	if err := WriteFiles(filepath.Join(work, "upper"), own); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(work, "upper"), dir); err != nil {
		return fmt.Errorf("keep layer: %w", err)
	}
	return os.RemoveAll(work)
}
