// Package packer runs the real packer, with its builder for EC2 and the provisioner of
// this repository. Both are installed from files: packer fetches nothing.
package packer

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/joinery/joinery/lab/host"
	"github.com/joinery/joinery/lab/kit"
)

// Packer is a packer with plugins of its own, apart from those of the user.
type Packer struct{ program, home string }

// New installs the plugins below dir. Programs that are not built yet are
// binaries.ErrNotBuilt.
func New(ctx context.Context, o kit.Options, dir string) (*Packer, error) {
	set, plugin, err := kit.LoadPacker(ctx, o, dir)
	if err != nil {
		return nil, err
	}
	p := &Packer{program: set.Path("packer"), home: filepath.Join(dir, "packer")}
	if err := os.MkdirAll(p.home, 0o755); err != nil {
		return nil, fmt.Errorf("install packer: %w", err)
	}
	for source, file := range map[string]string{
		"github.com/hashicorp/amazon": set.Path("packer-plugin-amazon"),
		"github.com/joinery/joinery":  plugin,
	} {
		cmd := exec.CommandContext(ctx, p.program, "plugins", "install", "--path", file, source)
		cmd.Env = p.Environment()
		if text, err := host.Run(cmd); err != nil {
			return nil, fmt.Errorf("install plugin %s: %w: %s", source, err, text)
		}
	}
	return p, nil
}

// Program is the path of packer's program.
func (p *Packer) Program() string { return p.program }

// Environment is what the program is run with: nothing of the user's configuration, and
// no question to its makers whether there is a newer version.
func (p *Packer) Environment() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + p.home, "TMPDIR=" + os.TempDir(),
		"PACKER_CONFIG_DIR=" + p.home, "PACKER_PLUGIN_PATH=" + filepath.Join(p.home, "plugins"),
		"PACKER_CACHE_DIR=" + filepath.Join(p.home, "cache"), "PACKER_NO_COLOR=1", "CHECKPOINT_DISABLE=1",
	}
}
