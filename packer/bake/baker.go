package bake

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/joinery/joinery/internal/download"
	"github.com/joinery/joinery/internal/quote"
)

// Baker bakes machines.
type Baker struct {
	Machine Machine
	// HTTP fetches archives; http.DefaultClient when nil.
	HTTP *http.Client
	// Report is told of each step before it is done; nil is fine.
	Report func(Step)
}

// Bake turns the machine into the image that the options describe. It changes
// nothing on the machine before everything that is fetched on this side is
// verified.
func (b Baker) Bake(ctx context.Context, o Options) (Plan, error) {
	dir, err := os.MkdirTemp("", "joinery-bake-")
	if err != nil {
		return Plan{}, fmt.Errorf("bake: %w", err)
	}
	defer os.RemoveAll(dir)
	client := b.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	materials, err := Fetch(ctx, o, client, dir)
	if err != nil {
		return Plan{}, fmt.Errorf("bake: %w", err)
	}
	system, err := probe(ctx, b.Machine)
	if err != nil {
		return Plan{}, fmt.Errorf("bake: %w", err)
	}
	plan, err := New(o, materials.Inputs, system)
	if err != nil {
		return Plan{}, fmt.Errorf("bake: %w", err)
	}
	if err := b.execute(ctx, plan, materials); err != nil {
		return plan, fmt.Errorf("bake: %w", err)
	}
	return plan, nil
}

// execute does the steps. It removes its uploads also after a failure.
func (b Baker) execute(ctx context.Context, plan Plan, m *Materials) (err error) {
	defer func() {
		_, clean := b.Machine.Run(context.WithoutCancel(ctx), "rm -rf "+staging)
		err = errors.Join(err, clean)
	}()
	for _, s := range plan.Steps {
		if b.Report != nil {
			b.Report(s)
		}
		for _, batch := range batches(s.Actions) {
			if err := b.do(ctx, batch, m); err != nil {
				return fmt.Errorf("%s: %w", s.Name, err)
			}
		}
	}
	return nil
}

// batches puts files that follow each other together: each upload is a round trip.
func batches(actions []Action) [][]Action {
	var all [][]Action
	for i, a := range actions {
		_, file := a.(Write)
		if i > 0 && file {
			if _, too := actions[i-1].(Write); too {
				all[len(all)-1] = append(all[len(all)-1], a)
				continue
			}
		}
		all = append(all, []Action{a})
	}
	return all
}

func (b Baker) do(ctx context.Context, batch []Action, m *Materials) error {
	switch a := batch[0].(type) {
	case Write:
		return b.write(ctx, batch)
	case Place:
		return b.withFile(ctx, m, a.Archive.URL, a, func(file string) string {
			return "install -D -m 0755 " + words(file, a.Path)
		})
	case Unpack:
		return b.withFile(ctx, m, a.Archive.URL, a, func(file string) string {
			return "mkdir -p " + words(a.Dir) + " && tar -x -z --no-same-owner --no-overwrite-dir -f " + words(file) + " -C " + words(a.Dir)
		})
	case Import:
		return b.withFile(ctx, m, a.Archive.URL, a, func(file string) string { return "ctr -n k8s.io images import --local " + words(file) })
	case InstallFiles:
		return b.installFiles(ctx, a, m)
	case Expect:
		return b.expect(ctx, a)
	default:
		return b.run(ctx, a, script(a))
	}
}

// run runs the script of an action.
func (b Baker) run(ctx context.Context, a Action, script string) error {
	out, err := b.Machine.Run(ctx, "set -e\n"+script)
	if err == nil {
		return nil
	}
	if why := explain(out); why != "" {
		return fmt.Errorf("%s: %s: %w", a, why, err)
	}
	return fmt.Errorf("%s: %w: %s", a, err, quote.Text(last(out)))
}

func (b Baker) expect(ctx context.Context, a Expect) error {
	out, err := b.Machine.Run(ctx, words(a.Command...))
	if err != nil {
		return fmt.Errorf("run %s: %w: %s", strings.Join(a.Command, " "), err, quote.Text(last(out)))
	}
	if !says(out, a.Text) {
		return fmt.Errorf("%s says %s where %s was ordered: the package or archive holds another version", strings.Join(a.Command, " "), quote.Text(strings.TrimSpace(out)), a.Text)
	}
	return nil
}

// says reports whether a program's output has a version, and not a longer one that
// contains it.
func says(output, version string) bool {
	whole := regexp.MustCompile(`(^|[^0-9.])` + regexp.QuoteMeta(version) + `($|[^0-9])`)
	return whole.MatchString(output)
}

// write unpacks a tar archive of the files over the machine's root.
func (b Baker) write(ctx context.Context, batch []Action) error {
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	for _, a := range batch {
		w := a.(Write) // by batches
		h := &tar.Header{Name: strings.TrimPrefix(w.Path, "/"), Mode: int64(w.Mode.Perm()), Size: int64(len(w.Data)), ModTime: time.Now(), Typeflag: tar.TypeReg, Uname: "root", Gname: "root"}
		if err := tw.WriteHeader(h); err != nil {
			return fmt.Errorf("%s: %w", a, err)
		}
		if _, err := tw.Write(w.Data); err != nil {
			return fmt.Errorf("%s: %w", a, err)
		}
	}
	if err := tw.Close(); err != nil {
		return fmt.Errorf("pack files: %w", err)
	}
	const name = "files.tar"
	if err := b.upload(ctx, name, &buf); err != nil {
		return err
	}
	return b.run(ctx, batch[0], "umask 022; tar -x -p --keep-directory-symlink -f "+path.Join(staging, name)+" -C /; rm -f "+path.Join(staging, name))
}

// upload writes a file in the staging directory, which the user that is logged in
// can enter and others cannot.
func (b Baker) upload(ctx context.Context, name string, content io.Reader) error {
	if _, err := b.Machine.Run(ctx, `install -d -m 0700 -o "${SUDO_UID:-0}" `+staging); err != nil {
		return fmt.Errorf("make directory for uploads: %w", err)
	}
	if err := b.Machine.Upload(ctx, path.Join(staging, name), content); err != nil {
		return fmt.Errorf("upload %s: %w", name, err)
	}
	return nil
}

// bring uploads a verified file and returns where it is. What arrived is compared
// with what was verified, out of the reach of anyone but root.
func (b Baker) bring(ctx context.Context, v download.File, name string) (string, error) {
	in, err := os.Open(v.Path)
	if err != nil {
		return "", fmt.Errorf("upload %s: %w", name, err)
	}
	defer in.Close()
	if err := b.upload(ctx, name, in); err != nil {
		return "", err
	}
	dir := path.Join(staging, "verified")
	file := path.Join(dir, name)
	out, err := b.Machine.Run(ctx, "set -e\ninstall -d -o 0 -m 0700 "+dir+"\nmv "+words(path.Join(staging, name), file)+"\nchown 0:0 "+words(file)+
		"\nchmod 0600 "+words(file)+"\necho "+words(v.SHA256+"  "+file)+" | sha256sum --check --strict --status")
	if err != nil {
		return "", fmt.Errorf("upload %s: %w: it arrived other than it was sent: %v %s", name, ErrUnverified, err, quote.Text(last(out)))
	}
	return file, nil
}

func (b Baker) withFile(ctx context.Context, m *Materials, source string, a Action, script func(file string) string) error {
	file, err := b.bring(ctx, m.files[source], download.Name(source))
	if err != nil {
		return err
	}
	return b.run(ctx, a, script(file)+"\nrm -f "+words(file))
}

func (b Baker) installFiles(ctx context.Context, a InstallFiles, m *Materials) error {
	var brought []string
	for _, name := range a.Files {
		file, err := b.bring(ctx, m.files[name], name)
		if err != nil {
			return err
		}
		brought = append(brought, file)
	}
	// No source at all: what is not in the directory is missing, and not fetched. apt
	// reads the files as root, whose alone the directory is.
	return b.run(ctx, a, aptGet("-o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts=/dev/null -o APT::Sandbox::User=root install "+words(brought...))+"\nrm -f "+words(brought...))
}
