package bakery

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/joinery/joinery/lab/kit"
)

// sources are the directories of this repository whose code and files decide what a
// node image holds.
var sources = []string{"internal/quote", "internal/redact", "internal/version", "lab/apt", "lab/bakery", "lab/cache", "lab/image", "packer/bake", "packer/check", "systemd"}

// inputs are all that a node image is made of.
type inputs struct {
	// base is the operating system's directory, agent the file of joinery-agent, root
	// this repository's.
	base, agent, root string
	// programs are the keys of the kit's programs.
	programs string
}

func inputsOf(k *kit.Kit, agent string) inputs {
	var names []string
	for _, p := range programs {
		names = append(names, p.name)
	}
	return inputs{base: k.Base, agent: agent, root: k.Root(), programs: k.Programs.Key(names...)}
}

// key changes whenever another image would be made.
func (i inputs) key() (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, filepath.Base(i.base), i.programs)
	// The base's packages: a base that was removed and made again has later ones.
	for _, file := range []string{i.agent, filepath.Join(i.base, "var/lib/dpkg/status")} {
		if err := addFile(h, file); err != nil {
			return "", fmt.Errorf("name node image: %w", err)
		}
	}
	for _, dir := range sources {
		if err := addSources(h, filepath.Join(i.root, dir)); err != nil {
			return "", fmt.Errorf("name node image: %w", err)
		}
	}
	return hex.EncodeToString(h.Sum(nil))[:16], nil
}

func addSources(h hash.Hash, dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == "testdata":
			return filepath.SkipDir
		case d.IsDir() || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		fmt.Fprintln(h, name)
		return addFile(h, path)
	})
}

// addFile adds a file's sum, so that where it ends is plain.
func addFile(h hash.Hash, path string) error {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, in); err != nil {
		return err
	}
	fmt.Fprintf(h, "%x\n", sum.Sum(nil))
	return nil
}
