package image

import (
	"embed"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/joinery/joinery/lab/binaries"
)

//go:embed files
var files embed.FS

// Image is what a machine's disk starts from: directories to be stacked.
type Image struct {
	// Layers are directories, the topmost first. None may change while a
	// machine that was started from it exists.
	Layers []string
}

// With returns the image with one more layer, made in dir from files, on top.
func (i Image) With(dir string, files map[string]File) (Image, error) {
	if err := WriteFiles(dir, files); err != nil {
		return Image{}, fmt.Errorf("make image layer: %w", err)
	}
	return Image{Layers: append([]string{dir}, i.Layers...)}, nil
}

// Node returns the files by which an image that packer/bake has made boots in the
// lab and joins without a registry: those of Machine, the pause image of the archive
// and, as the same image serves control-plane nodes, the programs of a control plane.
//
// The container images are imported at each boot. A machine keeps what containerd
// has unpacked beside its disk, so no image can bring it along.
func Node(set binaries.Set, pauseArchive, region string) (map[string]File, error) {
	out, err := Machine(region)
	if err != nil {
		return nil, err
	}
	for _, p := range []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler"} {
		out[ControlPlanePrograms+"/"+p] = File{Source: set.Path(p), Mode: 0o755}
	}
	out["/opt/pause.tar"] = File{Source: pauseArchive}
	for name, at := range map[string]string{
		"lab-images.service":  "/etc/systemd/system/lab-images.service",
		"lab-containerd.conf": "/etc/systemd/system/containerd.service.d/20-lab.conf",
		"lab-containerd.toml": "/etc/containerd/lab.toml",
	} {
		if out[at], err = embedded(name); err != nil {
			return nil, err
		}
	}
	maps.Copy(out, enable("multi-user.target", "lab-images.service"))
	return out, nil
}

// Machine returns the files without which no machine of the lab boots into its
// instance type. It needs no built program.
func Machine(region string) (map[string]File, error) {
	unit, err := embedded("lab-machine.service")
	if err != nil {
		return nil, err
	}
	script, err := embedded("lab-machine")
	if err != nil {
		return nil, err
	}
	script.Mode = 0o755
	out := map[string]File{
		"/etc/systemd/system/lab-machine.service": unit,
		"/usr/local/sbin/lab-machine":             script,
		"/etc/hosts":                              {Data: hosts(region)},
	}
	maps.Copy(out, enable("sysinit.target", "lab-machine.service"))
	return out, nil
}

func embedded(name string) (File, error) {
	text, err := files.ReadFile("files/" + name)
	if err != nil {
		return File{}, fmt.Errorf("read embedded file: %w", err)
	}
	return File{Data: text}, nil
}

// enable returns the links that "systemctl enable" makes for units under
// /etc/systemd/system that are wanted by target.
func enable(target string, units ...string) map[string]File {
	out := map[string]File{}
	for _, u := range units {
		out["/etc/systemd/system/"+target+".wants/"+u] = File{Link: filepath.Join("..", u)}
	}
	return out
}

// DropIn returns the file that adds environment to a unit, nothing when there
// is none. Everybody on the machine can read it.
func DropIn(unit string, environment map[string]string) map[string]File {
	if len(environment) == 0 {
		return nil
	}
	var b strings.Builder
	b.WriteString("[Service]\n")
	for _, name := range slices.Sorted(maps.Keys(environment)) {
		// systemd.exec(5): the quotes keep blanks, %% is a plain percent sign.
		value := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "%", "%%").Replace(environment[name])
		fmt.Fprintf(&b, "Environment=\"%s=%s\"\n", name, value)
	}
	return map[string]File{"/etc/systemd/system/" + unit + ".d/10-lab.conf": {Data: []byte(b.String())}}
}

// hosts stands for the DNS of the VPC: the private name of every address of
// its subnet. Without it kubeadm's preflight waits five seconds for a resolver.
// us-east-1 names its hosts without the region (AWS, "Instance hostname types").
func hosts(region string) []byte {
	domain := region + ".compute.internal"
	if region == "us-east-1" {
		domain = "ec2.internal"
	}
	var b strings.Builder
	b.WriteString("127.0.0.1 localhost\n")
	for n := 4; n < 255; n++ {
		fmt.Fprintf(&b, "10.99.0.%d ip-10-99-0-%d.%s ip-10-99-0-%d\n", n, n, domain, n)
	}
	return []byte(b.String())
}
