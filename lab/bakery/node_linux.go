package bakery

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"

	"github.com/joinery/joinery/lab/host"
	"github.com/joinery/joinery/lab/image"
	"github.com/joinery/joinery/lab/kit"
	"github.com/joinery/joinery/lab/machine"
	"github.com/joinery/joinery/lab/progress"
	"github.com/joinery/joinery/lab/vpc"
	"github.com/joinery/joinery/packer/bake"
)

// Port is where a run's network has the store while something is baked.
const Port = 8081

// Address is what leads there.
var Address = fmt.Sprintf("http://%s:%d", vpc.Gateway, Port)

// Options say what machines boot from.
type Options struct {
	// Dir is made for the files that only this run's image has.
	Dir string
	// Agent is the file of joinery-agent.
	Agent string
	// Region is that of the VPC whose names the machines know.
	Region string
	// Files win where the image has them too.
	Files  map[string]image.File
	Report progress.Func
}

// AMI returns the machine image of a run: the node image, what it needs to boot in
// the lab, and the run's own files.
func AMI(ctx context.Context, h *machine.Host, k *kit.Kit, o Options) (image.Image, error) {
	node, err := Node(ctx, h, k, o.Agent, o.Report)
	if err != nil {
		return image.Image{}, err
	}
	files, err := image.Node(k.Programs, k.Pause, o.Region)
	if err != nil {
		return image.Image{}, err
	}
	maps.Copy(files, o.Files)
	return node.With(o.Dir, files)
}

// Node returns the node image of an agent, made once by packer/bake's steps and then
// kept in the cache. It is what packer makes of the same packages and archives.
func Node(ctx context.Context, h *machine.Host, k *kit.Kit, agent string, report progress.Func) (image.Image, error) {
	key, err := inputsOf(k, agent).key()
	if err != nil {
		return image.Image{}, err
	}
	dir := filepath.Join(k.Cache(), "image", "node-"+key)
	err = image.Once(ctx, report, "node image", dir, func() error { return makeNode(ctx, h, k, agent, dir) })
	if err != nil {
		return image.Image{}, fmt.Errorf("make node image: %w", err)
	}
	return image.Image{Layers: []string{dir, k.Base}}, nil
}

// makeNode serves a store inside the run's network for as long as the bake takes.
func makeNode(ctx context.Context, h *machine.Host, k *kit.Kit, agent, dir string) error {
	shop, err := os.MkdirTemp(h.Dir(), "store-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(shop)
	s, err := NewStore(k, agent, shop)
	if err != nil {
		return err
	}
	stop, err := s.Serve(ctx, h)
	if err != nil {
		return err
	}
	return errors.Join(Bake(ctx, h, k, s, dir), stop())
}

// Serve has the store at Address inside a run's network, until stop is called.
func (s *Store) Serve(ctx context.Context, h *machine.Host) (stop func() error, err error) {
	listener, err := h.VPC().Listen(ctx, Port)
	if err != nil {
		return nil, err
	}
	server := &http.Server{Handler: http.FileServer(http.Dir(s.Dir))}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	return func() error {
		err := server.Close()
		if e := <-served; !errors.Is(e, http.ErrServerClosed) {
			err = errors.Join(err, e)
		}
		return err
	}, nil
}

// Bake bakes the kit's base from a store that is served at Address. In dir is then
// the layer that makes it a node image. dir comes into being at the end.
func Bake(ctx context.Context, h *machine.Host, k *kit.Kit, s *Store, dir string) error {
	work := dir + ".partial"
	if err := host.Unmount(work); err != nil { // of a bake that was killed
		return err
	}
	if err := os.RemoveAll(work); err != nil {
		return fmt.Errorf("remove half-made image: %w", err)
	}
	root, upper, err := image.Image{Layers: []string{k.Base}}.Mount(work)
	if err != nil {
		return err
	}
	err = bakeRoot(ctx, h, s, root)
	if err = errors.Join(err, host.Unmount(work)); err != nil {
		return err
	}
	if err := share(k, upper); err != nil {
		return err
	}
	if err := os.Rename(upper, dir); err != nil {
		return fmt.Errorf("put image into place: %w", err)
	}
	return os.RemoveAll(work)
}

// NoMirror returns the files by which apt looks for no mirror of the distribution:
// the lab's networks lead to none.
func NoMirror() map[string]image.File {
	return map[string]image.File{"/etc/apt/sources.list": {}}
}

func bakeRoot(ctx context.Context, h *machine.Host, s *Store, root string) error {
	if err := image.WriteFiles(root, NoMirror()); err != nil {
		return err
	}
	_, err := bake.Baker{Machine: Chroot{Root: root, Network: h.VPC().Namespace()}, HTTP: Client(h)}.Bake(ctx, s.Options(Address))
	return err
}

// Client is an HTTP client inside a run's network. It keeps no connection open, as
// the network goes with the run.
func Client(h *machine.Host) *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: h.VPC().DialContext, DisableKeepAlives: true}}
}

// share links the image's programs to the kit's, which they are copies of: 350 MB
// for each image would fill the cache and be read from the disk again for each.
func share(k *kit.Kit, dir string) error {
	files := map[string]image.File{}
	for _, p := range programs {
		same, err := equal(filepath.Join(dir, p.at), k.Programs.Path(p.name))
		if err != nil {
			return fmt.Errorf("share programs: %w", err)
		}
		if !same {
			return fmt.Errorf("share programs: %s in the image is not the kit's %s", p.at, p.name)
		}
		files[p.at] = image.File{Source: k.Programs.Path(p.name), Mode: 0o755}
	}
	return image.WriteFiles(dir, files)
}
