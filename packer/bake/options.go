package bake

// DefaultPauseImage is the sandbox image of pods. One image serves all supported
// versions of Kubernetes.
const DefaultPauseImage = "registry.k8s.io/pause:3.10.2"

// DefaultContainerdPackage is the package of the container runtime when no archive
// of it is given. It brings its own runc.
const DefaultContainerdPackage = "containerd.io"

// Options say what an image holds and where that comes from. Field names in
// messages are those of a template.
type Options struct {
	// KubernetesVersion is that of kubeadm, kubelet and kubectl, such as 1.37.2.
	KubernetesVersion string
	// ContainerdVersion is that of the container runtime, such as 2.4.2. It decides
	// the form of the runtime's configuration.
	ContainerdVersion string
	// ContainerdPackage is DefaultContainerdPackage when empty.
	ContainerdPackage string
	// PauseImage is DefaultPauseImage when empty.
	PauseImage string
	// Repositories are signed apt repositories, beside those of the distribution.
	Repositories []Repository
	// Archives are verified files. A component that none of them is for comes from
	// packages.
	Archives []Archive
	// Sums is where checksums are that Archives do not give; nil: nowhere.
	Sums *Sums
	// Offline is a directory of packages and archives. When it is set nothing is
	// downloaded, neither here nor by the machine: archives are files of that
	// directory under the last part of their URL, and its packages (*.deb) are
	// installed in place of those of repositories. Sums must list every one of them.
	Offline string
	// Images are container images, name:tag@sha256:<hex> each, that are in the image
	// so that the first pods wait for no registry. The digest is what is pulled; the
	// tag is the name that pods use. Archives of ComponentImages are imported as well.
	Images []string
}

// Repository is an apt repository with a pinned key.
type Repository struct {
	// Name is the name of its files on the machine.
	Name string
	// URL, Suite and Components are as in sources.list(5). A flat repository has a
	// suite that ends in a slash and no components.
	URL, Suite string
	Components []string
	Key        Key
}

// Key is an OpenPGP key that signatures must be made with.
type Key struct {
	// File is a keyring on the operator's side, armored or binary.
	File string
	// Fingerprint names the key in the file. Other keys of the file are not trusted.
	Fingerprint string
}

// Archive is a file that a component is taken from.
type Archive struct {
	// Component is one of the names that Components returns.
	Component string
	// URL is http, https, or a path on the operator's side.
	URL string
	// Checksum is sha256:<hex> or sha512:<hex>. When empty, Options.Sums has it.
	Checksum string
}

// Sums is a file in the format of sha256sum or sha512sum, with a detached
// signature.
type Sums struct {
	URL, SignatureURL string
	Key               Key
}

// The components of an image.
const (
	ComponentContainerd = "containerd"
	ComponentRunc       = "runc"
	ComponentCNI        = "cni-plugins"
	ComponentCrictl     = "crictl"
	ComponentKubeadm    = "kubeadm"
	ComponentKubelet    = "kubelet"
	ComponentKubectl    = "kubectl"
	ComponentAgent      = "joinery-agent"
	ComponentImages     = "images"
)

// Components returns what an archive can be for.
func Components() []string {
	return []string{ComponentContainerd, ComponentRunc, ComponentCNI, ComponentCrictl, ComponentKubeadm, ComponentKubelet, ComponentKubectl, ComponentAgent, ComponentImages}
}

// archive returns the archive of a component, false when it comes from packages.
func (o Options) archive(component string) (Archive, bool) {
	for _, a := range o.Archives {
		if a.Component == component {
			return a, true
		}
	}
	return Archive{}, false
}

func (o Options) fromArchive(component string) bool {
	_, ok := o.archive(component)
	return ok
}

// complete returns the options with defaults in place of what is empty.
func (o Options) complete() Options {
	if o.ContainerdPackage == "" {
		o.ContainerdPackage = DefaultContainerdPackage
	}
	if o.PauseImage == "" {
		o.PauseImage = DefaultPauseImage
	}
	return o
}
