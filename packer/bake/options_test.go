package bake_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/joinery/joinery/packer/bake"
)

var zeros = "sha256:" + strings.Repeat("0", 64)

func archive(component, file string) bake.Archive {
	return bake.Archive{Component: component, URL: "https://archives.example/" + file, Checksum: zeros}
}

// whole are options without a problem: Kubernetes from packages, the runtime from
// archives.
func whole() bake.Options {
	return bake.Options{
		KubernetesVersion: "1.37.2", ContainerdVersion: "2.4.2",
		Repositories: []bake.Repository{{Name: "kubernetes", URL: "https://packages.example/deb", Suite: "/",
			Key: bake.Key{File: "key.asc", Fingerprint: "de15 b144 86cd 377b 9e87 6e1a 2346 54da 9a29 6436"}}},
		Archives: []bake.Archive{
			archive(bake.ComponentContainerd, "containerd-2.4.2-linux-amd64.tar.gz"), archive(bake.ComponentRunc, "runc.amd64"),
			archive(bake.ComponentAgent, "joinery-agent"), archive(bake.ComponentImages, "images.tar"),
		},
		Images: []string{"registry.example/cni/node:v1@sha256:" + strings.Repeat("a", 64)},
	}
}

func TestWholeOptionsHaveNoProblem(t *testing.T) {
	if p := whole().Problems(); p != nil {
		t.Error(p)
	}
	if err := whole().Problems().Err(); err != nil {
		t.Error(err)
	}
}

// Each change has exactly the problems that are listed, field and expectation.
func TestProblems(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*bake.Options)
		want   []string // beginnings of lines
	}{
		{"no version", func(o *bake.Options) { o.KubernetesVersion = "" }, []string{"kubernetes_version: is empty: want a release from 1.31 to 1.37"}},
		{"too old", func(o *bake.Options) { o.KubernetesVersion = "1.30.9" }, []string{`kubernetes_version: is "1.30.9": want a release from 1.31 to 1.37`}},
		{"too new", func(o *bake.Options) { o.KubernetesVersion = "1.38.0" }, []string{`kubernetes_version: is "1.38.0"`}},
		{"not pinned", func(o *bake.Options) { o.KubernetesVersion = "1.37" }, []string{`kubernetes_version: is "1.37": want a release from 1.31 to 1.37 with its patch`}},
		{"with a v", func(o *bake.Options) { o.KubernetesVersion = "v1.37.2" }, []string{`kubernetes_version: is "v1.37.2"`}},
		{"leading zero", func(o *bake.Options) { o.KubernetesVersion, o.ContainerdVersion = "1.034.02", "2.04.2" }, []string{`containerd_version: is "2.04.2": want`, `kubernetes_version: is "1.034.02": want a release`}},
		{"leading zero of a patch", func(o *bake.Options) { o.KubernetesVersion = "1.34.00" }, []string{`kubernetes_version: is "1.34.00": want a release`}},
		{"old containerd", func(o *bake.Options) { o.ContainerdVersion = "1.7.27" }, []string{`containerd_version: is "1.7.27": want containerd 2: Kubernetes 1.35 was the last`}},
		{"old containerd, old Kubernetes", func(o *bake.Options) { o.ContainerdVersion, o.KubernetesVersion = "1.7.27", "1.35.0" }, nil},
		{"strange package", func(o *bake.Options) { o.ContainerdPackage = "x; rm" }, []string{`containerd_package: is "x; rm"`}},
		{"pause without tag", func(o *bake.Options) { o.PauseImage = "pause" }, []string{`pause_image: is "pause": want a name with a tag`}},
		{"image without digest", func(o *bake.Options) { o.Images[0] = "registry.example/cni:v1" }, []string{`images[0]: is "registry.example/cni:v1": want name:tag@sha256:`}},
		{"no fingerprint", func(o *bake.Options) { o.Repositories[0].Key.Fingerprint = "" }, []string{"repository[0].key_fingerprint: is empty"}},
		{"short fingerprint", func(o *bake.Options) { o.Repositories[0].Key.Fingerprint = "9A296436" }, []string{`repository[0].key_fingerprint: is "9A296436": want the whole fingerprint`}},
		{"no key", func(o *bake.Options) { o.Repositories[0].Key.File = "" }, []string{"repository[0].key_file: is empty"}},
		{"options in the address", func(o *bake.Options) { o.Repositories[0].URL = "[trusted=yes] https://x" }, []string{"repository[0].url: is"}},
		{"lines in the address", func(o *bake.Options) { o.Repositories[0].URL = "https://x\nTrusted: yes" }, []string{`repository[0].url: is "https://x\nTrusted: yes"`}},
		{"lines in the suite", func(o *bake.Options) { o.Repositories[0].Suite = "/\nTrusted: yes" }, []string{"repository[0].suite: is", "repository[0].components: is empty"}},
		{"password", func(o *bake.Options) { o.Repositories[0].URL = "https://me:secret@x" }, []string{`repository[0].url: is "https://[redacted]@x": want an address without a password`}},
		{"password and no archive", func(o *bake.Options) { o.Archives[0].URL = "https://user:s3cret@host/containerd.zip" }, []string{`archive[0].url: is "https://[redacted]@host/containerd.zip": want an address without a password`}},
		{"repository on this side", func(o *bake.Options) { o.Repositories[0].URL = "packages/deb" }, []string{`repository[0].url: is "packages/deb": want an http or https address without a query`}},
		{"repository without a scheme", func(o *bake.Options) { o.Repositories[0].URL = "//packages.example/deb" }, []string{`repository[0].url: is "//packages.example/deb": want an http or https address`}},
		{"repository with a query", func(o *bake.Options) { o.Repositories[0].URL += "?sig=s3cret" }, []string{`repository[0].url: is "https://packages.example/deb?[redacted]": want an http or https address without a query`}},
		{"no repository's address", func(o *bake.Options) { o.Repositories[0].URL = "" }, []string{"repository[0].url: is empty"}},
		{"archive with a query", func(o *bake.Options) { o.Archives[0].URL += "?X-Amz-Signature=s3/cret" }, nil},
		{"path as a name", func(o *bake.Options) { o.Repositories[0].Name = "../x" }, []string{`repository[0].name: is "../x"`}},
		{"suite without components", func(o *bake.Options) { o.Repositories[0].Suite = "bookworm" }, []string{"repository[0].components: is empty"}},
		{"no source of Kubernetes", func(o *bake.Options) { o.Repositories = nil }, []string{"repository: is empty: want a signed repository with the packages of kubelet", "repository: is empty: want a signed repository with the packages of cni-plugins", "repository: is empty: want a signed repository with the packages of crictl"}},
		{"no agent", func(o *bake.Options) { o.Archives = o.Archives[:2] }, []string{"archive: is empty: want an archive of the component joinery-agent"}},
		{"containerd without runc", func(o *bake.Options) { o.Archives = slices.Delete(o.Archives, 1, 2) }, []string{"archive: is empty: want an archive of the component runc as well"}},
		{"kubelet alone", func(o *bake.Options) { o.Archives = append(o.Archives, archive(bake.ComponentKubelet, "kubelet")) }, []string{"archive: is empty: want an archive of the component kubeadm as well", "archive: is empty: want an archive of the component kubectl as well"}},
		{"unknown component", func(o *bake.Options) { o.Archives[3].Component = "docker" }, []string{`archive[3].component: is "docker": want one of containerd, runc`}},
		{"twice", func(o *bake.Options) { o.Archives[3].Component = bake.ComponentRunc }, []string{`archive[3].component: is "runc": want one archive for each`}},
		{"not packed", func(o *bake.Options) { o.Archives[0].URL = "https://x/containerd.zip" }, []string{`archive[0].url: is "https://x/containerd.zip": want a file that ends in .tar.gz`}},
		{"no checksum", func(o *bake.Options) { o.Archives[1].Checksum = "" }, []string{"archive[1].checksum: is empty: want sha256:<hex> or sha512:<hex>, or a sums block"}},
		{"weak checksum", func(o *bake.Options) { o.Archives[1].Checksum = "md5:" + strings.Repeat("0", 32) }, []string{"archive[1].checksum: is \"md5:"}},
		{"short checksum", func(o *bake.Options) { o.Archives[1].Checksum = "sha512:" + strings.Repeat("0", 64) }, []string{"archive[1].checksum: is \"sha512:"}},
		{"unsigned sums", func(o *bake.Options) { o.Sums = &bake.Sums{URL: "https://x/SHA256SUMS"} }, []string{"sums.signature_url: is empty", "sums.key_file: is empty", "sums.key_fingerprint: is empty"}},
		{"offline without sums", func(o *bake.Options) { o.Offline, o.Repositories, o.Images = "/packages", nil, nil }, []string{"sums: is empty: want a sums block"}},
		{"offline and online", func(o *bake.Options) { o.Offline = "/packages" }, []string{"images: is", `repository: is "kubernetes": want none with offline`, "sums: is empty"}},
		{"everything at once", func(o *bake.Options) { *o = bake.Options{} }, []string{"archive: is empty", "containerd_version: is empty", "kubernetes_version: is empty", "repository: is empty", "repository: is empty", "repository: is empty"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := whole()
			c.change(&o)
			var got []string
			for _, p := range o.Problems() {
				got = append(got, p.Error())
			}
			slices.Sort(got)
			slices.Sort(c.want)
			if len(got) != len(c.want) {
				t.Fatalf("%d problems, want %d:\n%s", len(got), len(c.want), strings.Join(got, "\n"))
			}
			for i, want := range c.want {
				if !strings.HasPrefix(got[i], want) {
					t.Errorf("%s, want %s", got[i], want)
				}
			}
			if _, err := bake.New(o, bake.Inputs{Keyrings: map[string][]byte{"kubernetes": {1}}}, bake.System{ID: "debian", Version: "12", Arch: "amd64"}); (err != nil) != (len(got) > 0) {
				t.Errorf("a plan of these options: %v", err)
			}
		})
	}
}

// Whatever is wrong with an address, nothing repeats what is secret in it: not the
// problems, and not the plan, which says what it does.
func TestAddressesKeepSecrets(t *testing.T) {
	for _, address := range []string{
		"https://user:s3cret@host/containerd.zip", "https://s3cret@host/x", "https://user:s3cret@host/a b", "https://user:s3cret@host/a.tar.gz\nx",
		"ftp://user:s3cret@host/x", "user:s3cret@host/x", "s3cret@host", "//user:s3cret@host/x", "https://user:s3cret%zz@host/x", "https://user:s3cret@",
		"https://user:s3cret%40host/x", "https://user:a/s3cret@host/x", "https://user:a?s3cret@host/x", "https://user:[s3cret]@host/x", "https:/user:s3cret@host/x",
		"https://host/x.zip?X-Amz-Signature=s3cret", "https://host/x.tar.gz?sig=a/s3cret", "https://host/x?a@s3cret", "x?X-Amz-Signature=s3cret", "https://host/x y#s3cret",
	} {
		o := whole()
		o.Repositories[0].URL = address
		for i := range o.Archives {
			o.Archives[i].URL, o.Archives[i].Checksum = address, ""
		}
		for _, sums := range []*bake.Sums{nil, {URL: address, SignatureURL: address}} {
			o.Sums = sums
			problems := o.Problems()
			if len(problems) == 0 || strings.Contains(problems.Error(), "s3cret") {
				t.Errorf("%q: %v", address, problems)
			}
		}
		for _, a := range o.Archives {
			if got := (bake.Import{Archive: a}).String(); strings.Contains(got, "s3cret") {
				t.Errorf("%q: the plan says %s", address, got)
			}
		}
	}
}
