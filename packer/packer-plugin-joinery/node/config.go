package node

import (
	"github.com/hashicorp/packer-plugin-sdk/common"
	"github.com/hashicorp/packer-plugin-sdk/template/config"
	"github.com/hashicorp/packer-plugin-sdk/template/interpolate"

	"github.com/joinery/joinery/packer/bake"
)

//go:generate go tool packer-sdc mapstructure-to-hcl2 -type Config,Repository,Archive,Sums
//go:generate go tool packer-sdc struct-markdown
//go:generate go tool packer-sdc renderdocs -src ../docs -partials ../docs-partials -dst ../.web-docs

// Config is the provisioner's block in a template.
type Config struct {
	common.PackerConfig `mapstructure:",squash"`

	// The version of kubeadm, kubelet and kubectl, with its patch, such as `1.37.2`.
	// Releases from 1.31 to 1.37 can be baked.
	KubernetesVersion string `mapstructure:"kubernetes_version" required:"true"`
	// The version of containerd, with its patch, such as `2.4.2`. It decides the form of
	// the runtime's configuration. From Kubernetes 1.36 on it must be 2.
	ContainerdVersion string `mapstructure:"containerd_version" required:"true"`
	// Verified files. A component that no archive is for comes from packages. The agent
	// always comes from an archive. See [Archive](#archive).
	Archives []Archive `mapstructure:"archive" required:"true"`
	// Signed apt repositories, in addition to those of the distribution. See
	// [Repository](#repository).
	Repositories []Repository `mapstructure:"repository"`
	// A signed file with the checksums that archives do not give. See [Sums](#sums).
	Sums *Sums `mapstructure:"sums"`
	// The package of the container runtime, `containerd.io` by default. It is installed
	// when no archive is for `containerd`.
	ContainerdPackage string `mapstructure:"containerd_package"`
	// The sandbox image of pods, `registry.k8s.io/pause:3.10.2` by default.
	PauseImage string `mapstructure:"pause_image"`
	// Container images that are pulled into the image, `name:tag@sha256:…` each, so that
	// the first pods of a node wait for no registry.
	Images []string `mapstructure:"images"`
	// A directory of archives, packages (`*.deb`) and a signed file with the sums of all
	// of them. With it nothing is downloaded, and `repository` and `images` cannot be used.
	Offline string `mapstructure:"offline"`
}

// Repository is a `repository` block: an apt repository with a pinned key.
type Repository struct {
	// The name of the repository's files on the machine, such as `kubernetes`.
	Name string `mapstructure:"name" required:"true"`
	// The repository's address, http or https.
	URL string `mapstructure:"url" required:"true"`
	// A code name such as `bookworm`, or `/` for a flat repository.
	Suite string `mapstructure:"suite" required:"true"`
	// Archive areas such as `main`. A flat repository has none.
	Components []string `mapstructure:"components"`
	// The file with the OpenPGP key of the repository, on packer's side.
	KeyFile string `mapstructure:"key_file" required:"true"`
	// The key's whole fingerprint, 40 or 64 hex digits. Other keys in the file are not
	// trusted.
	KeyFingerprint string `mapstructure:"key_fingerprint" required:"true"`
}

// Archive is an `archive` block: a file that a component is taken from.
type Archive struct {
	// One of `containerd`, `runc`, `cni-plugins`, `crictl`, `kubeadm`, `kubelet`,
	// `kubectl`, `joinery-agent` and `images`.
	Component string `mapstructure:"component" required:"true"`
	// The file's address, http or https, or its path on packer's side.
	URL string `mapstructure:"url" required:"true"`
	// `sha256:<hex>` or `sha512:<hex>`. Required unless the signed file of `sums` has it.
	Checksum string `mapstructure:"checksum"`
}

// Sums is a `sums` block: a file of checksums with a detached signature.
type Sums struct {
	// The address or path of a file in the format of sha256sum or sha512sum.
	URL string `mapstructure:"url" required:"true"`
	// The address or path of its detached signature, armored or binary.
	SignatureURL string `mapstructure:"signature_url" required:"true"`
	// The file with the OpenPGP key of the signature, on packer's side.
	KeyFile string `mapstructure:"key_file" required:"true"`
	// The key's whole fingerprint, 40 or 64 hex digits.
	KeyFingerprint string `mapstructure:"key_fingerprint" required:"true"`
}

// decode reads the block that packer passes in. A name that no field has is an error.
func (c *Config) decode(raws ...any) error {
	return config.Decode(c, &config.DecodeOpts{
		PluginType: "joinery-node", Interpolate: true, InterpolateContext: &interpolate.Context{},
	}, raws...)
}

// options are the block as packer/bake reads it. Field names in its messages are those
// of the block.
func (c *Config) options() bake.Options {
	o := bake.Options{
		KubernetesVersion: c.KubernetesVersion, ContainerdVersion: c.ContainerdVersion,
		ContainerdPackage: c.ContainerdPackage, PauseImage: c.PauseImage,
		Offline: c.Offline, Images: c.Images,
	}
	for _, r := range c.Repositories {
		o.Repositories = append(o.Repositories, bake.Repository{
			Name: r.Name, URL: r.URL, Suite: r.Suite, Components: r.Components,
			Key: bake.Key{File: r.KeyFile, Fingerprint: r.KeyFingerprint},
		})
	}
	for _, a := range c.Archives {
		o.Archives = append(o.Archives, bake.Archive{Component: a.Component, URL: a.URL, Checksum: a.Checksum})
	}
	if s := c.Sums; s != nil {
		o.Sums = &bake.Sums{URL: s.URL, SignatureURL: s.SignatureURL, Key: bake.Key{File: s.KeyFile, Fingerprint: s.KeyFingerprint}}
	}
	return o
}
