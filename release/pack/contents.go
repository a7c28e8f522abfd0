package pack

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goreleaser/nfpm/v2/files"
	"github.com/spf13/cobra"

	"github.com/joinery/joinery/release/program"
	"github.com/joinery/joinery/systemd"
)

// contents gathers what goes into one package. The first error stays in err.
type contents struct {
	root, work string
	format     Format
	at         time.Time
	files      files.Contents
	err        error
}

func (c *contents) add(s spec, p program.Program) {
	c.at = p.Time
	c.file("/usr/bin/"+p.Name, p.File, 0o755)
	for _, link := range slices.Sorted(maps.Keys(s.links)) {
		c.files = append(c.files, &files.Content{Source: s.links[link], Destination: link, Type: files.TypeSymlink})
	}
	c.units(s)
	c.configuration(s)
	c.manual(s)
	c.completion(s)
	c.legal(s)
	if s.manifests {
		c.deploy()
	}
}

func (c *contents) units(s spec) {
	for _, name := range s.units {
		text, err := systemd.Unit(name)
		c.check(err)
		c.data("/usr/lib/systemd/system/"+name, text, 0o644, files.TypeFile)
	}
}

// configuration adds what the operator changes. It outlives upgrades.
func (c *contents) configuration(s spec) {
	if len(s.config) == 0 {
		return
	}
	c.directory("/etc/joinery", 0o755)
	for _, dir := range s.private {
		c.directory(dir, 0o700)
	}
	for _, name := range s.config {
		text, err := config.ReadFile("config/" + name)
		c.check(err)
		c.data("/etc/joinery/"+name, text, 0o644, files.TypeConfigNoReplace)
	}
}

// manual adds the program's pages of docs/man.
func (c *contents) manual(s spec) {
	pages, err := filepath.Glob(filepath.Join(c.root, "docs", "man", s.program, "*."+s.section))
	c.check(err)
	if len(pages) == 0 {
		c.check(fmt.Errorf("docs/man/%s has no manual page", s.program))
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		c.check(err)
		c.data("/usr/share/man/man"+s.section+"/"+filepath.Base(page)+".gz", c.gzipped(text), 0o644, files.TypeFile)
	}
}

// completion adds the scripts for shells. They ask the program itself, so that they
// follow from its name alone.
func (c *contents) completion(s spec) {
	root := &cobra.Command{Use: s.program}
	var bash, zsh, fish bytes.Buffer
	c.check(root.GenBashCompletionV2(&bash, true))
	c.check(root.GenZshCompletion(&zsh))
	c.check(root.GenFishCompletion(&fish, true))
	functions := "/usr/share/zsh/site-functions/_"
	if c.format == Deb {
		functions = "/usr/share/zsh/vendor-completions/_"
	}
	c.data("/usr/share/bash-completion/completions/"+s.program, bash.Bytes(), 0o644, files.TypeFile)
	c.data(functions+s.program, zsh.Bytes(), 0o644, files.TypeFile)
	c.data("/usr/share/fish/vendor_completions.d/"+s.program+".fish", fish.Bytes(), 0o644, files.TypeFile)
}

// legal adds the licence and what changed, where each distribution looks for them.
func (c *contents) legal(s spec) {
	docs := "/usr/share/doc/" + s.program
	changes, err := os.ReadFile(filepath.Join(c.root, "CHANGELOG.md"))
	c.check(err)
	license := filepath.Join(c.root, "LICENSE")
	if c.format == Deb {
		c.file(docs+"/copyright", license, 0o644)
		c.data(docs+"/changelog.gz", c.gzipped(changes), 0o644, files.TypeFile)
		return
	}
	c.file("/usr/share/licenses/"+s.program+"/LICENSE", license, 0o644)
	c.data(docs+"/CHANGELOG.md", changes, 0o644, files.TypeFile)
}

// deploy adds what operators apply: all of deploy/ that is no code.
func (c *contents) deploy() {
	paths, err := Deploy(c.root)
	c.check(err)
	for _, p := range paths {
		c.file("/usr/share/joinery/"+p, filepath.Join(c.root, p), 0o644)
	}
}

// Deploy lists what operators apply, by its path in the tree at root: the files of
// deploy/ that git tracks, without Go code, its modules and tests' data.
func Deploy(root string) ([]string, error) {
	cmd := exec.Command("git", "ls-files", "-z", "deploy")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("list deploy: %w", err)
	}
	paths := slices.DeleteFunc(strings.Split(strings.TrimRight(string(out), "\x00"), "\x00"), func(p string) bool {
		return slices.Contains([]string{".go", ".mod", ".sum"}, path.Ext(p)) || slices.Contains(strings.Split(p, "/"), "testdata")
	})
	if len(paths) == 0 || paths[0] == "" {
		return nil, fmt.Errorf("list deploy: git tracks nothing there")
	}
	return paths, nil
}

func (c *contents) directory(path string, mode fs.FileMode) {
	c.files = append(c.files, &files.Content{Destination: path, Type: files.TypeDir, FileInfo: c.info(mode)})
}

func (c *contents) file(to, from string, mode fs.FileMode) {
	c.files = append(c.files, &files.Content{Source: from, Destination: to, FileInfo: c.info(mode)})
}

// data adds a file that is in no tree.
func (c *contents) data(to string, data []byte, mode fs.FileMode, kind string) {
	from := c.made(data)
	c.files = append(c.files, &files.Content{Source: from, Destination: to, Type: kind, FileInfo: c.info(mode)})
}

func (c *contents) info(mode fs.FileMode) *files.ContentFileInfo {
	return &files.ContentFileInfo{Owner: "root", Group: "root", Mode: mode, MTime: c.at}
}

// made writes data for nfpm, which reads files.
func (c *contents) made(data []byte) string {
	entries, err := os.ReadDir(c.work)
	c.check(err)
	file := filepath.Join(c.work, strconv.Itoa(len(entries)))
	c.check(os.WriteFile(file, data, 0o644))
	return file
}

func (c *contents) gzipped(text []byte) []byte {
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	c.check(err)
	_, err = w.Write(text)
	c.check(err)
	c.check(w.Close())
	return out.Bytes()
}

func (c *contents) check(err error) {
	if c.err == nil {
		c.err = err
	}
}
