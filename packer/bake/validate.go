package bake

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/joinery/joinery/internal/download"
	"github.com/joinery/joinery/internal/redact"
	"github.com/joinery/joinery/internal/version"
)

var (
	release     = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)$`)
	plain       = regexp.MustCompile(`^[a-z0-9][a-z0-9.+-]*$`)
	suite       = regexp.MustCompile(`^[A-Za-z0-9._/+-]+$`)
	fingerprint = regexp.MustCompile(`^([0-9A-F]{40}|[0-9A-F]{64})$`)
	pinnedImage = regexp.MustCompile(`^[a-z0-9][a-z0-9._/:-]*:[A-Za-z0-9._-]+@sha256:[0-9a-f]{64}$`)
	taggedImage = regexp.MustCompile(`^[a-z0-9][a-z0-9._/:-]*:[A-Za-z0-9._-]+$`)
)

// Problems returns everything that is wrong with the options, nil when they can be
// used. It reads no file.
func (o Options) Problems() Problems {
	var p Problems
	o = o.complete()
	o.checkVersions(&p)
	o.checkRepositories(&p)
	o.checkArchives(&p)
	o.checkSources(&p)
	if o.Sums != nil {
		checkURL(&p, "sums.url", o.Sums.URL)
		checkURL(&p, "sums.signature_url", o.Sums.SignatureURL)
		o.Sums.Key.check(&p, "sums")
	}
	if !taggedImage.MatchString(o.PauseImage) {
		p.add("pause_image", o.PauseImage, "a name with a tag, such as "+DefaultPauseImage)
	}
	for i, image := range o.Images {
		if !pinnedImage.MatchString(image) {
			p.add(fmt.Sprintf("images[%d]", i), image, "name:tag@sha256:<64 hex digits>: an image without a digest cannot be verified")
		}
	}
	if o.Offline != "" && len(o.Images) > 0 {
		p.add("images", o.Images[0], "none with offline: import images from an archive of the component "+ComponentImages)
	}
	return p
}

func (o Options) checkVersions(p *Problems) {
	v := release.FindStringSubmatch(o.KubernetesVersion)
	minor := 0
	if v != nil {
		minor, _ = strconv.Atoi(v[2]) // digits, by the expression
	}
	if v == nil || v[1] != "1" || minor < version.OldestMinor || minor > version.NewestMinor {
		p.add("kubernetes_version", o.KubernetesVersion, fmt.Sprintf("a release from 1.%d to 1.%d with its patch, such as 1.%d.2", version.OldestMinor, version.NewestMinor, version.NewestMinor))
	}
	v = release.FindStringSubmatch(o.ContainerdVersion)
	switch {
	case v == nil || v[1] != "1" && v[1] != "2":
		p.add("containerd_version", o.ContainerdVersion, "a release of containerd 1 or 2 with its patch, such as 2.4.2")
	case v[1] == "1" && minor > lastMinorWithContainerd1:
		p.add("containerd_version", o.ContainerdVersion, fmt.Sprintf("containerd 2: Kubernetes 1.%d was the last for containerd 1", lastMinorWithContainerd1))
	}
	if !plain.MatchString(o.ContainerdPackage) {
		p.add("containerd_package", o.ContainerdPackage, "the name of a package, such as "+DefaultContainerdPackage)
	}
}

// lastMinorWithContainerd1 is by the Kubernetes project's release notes of 1.35.
const lastMinorWithContainerd1 = 35

func (o Options) checkRepositories(p *Problems) {
	seen := map[string]bool{}
	for i, r := range o.Repositories {
		field := fmt.Sprintf("repository[%d]", i)
		if !plain.MatchString(r.Name) || seen[r.Name] {
			p.add(field+".name", r.Name, "a name of its own of a-z, 0-9, dots and dashes")
		}
		seen[r.Name] = true
		checkRepositoryURL(p, field+".url", r.URL)
		if !suite.MatchString(r.Suite) {
			p.add(field+".suite", r.Suite, "a code name such as bookworm, or / for a flat repository")
		}
		if flat := strings.HasSuffix(r.Suite, "/"); flat != (len(r.Components) == 0) {
			p.add(field+".components", strings.Join(r.Components, " "), "components if, and only if, the suite does not end in a slash")
		}
		for _, c := range r.Components {
			if !suite.MatchString(c) {
				p.add(field+".components", c, "an archive area such as main")
			}
		}
		r.Key.check(p, field)
	}
	if o.Offline != "" && len(o.Repositories) > 0 {
		p.add("repository", o.Repositories[0].Name, "none with offline: its packages are files of that directory")
	}
}

func (k Key) check(p *Problems, field string) {
	if k.File == "" {
		p.add(field+".key_file", k.File, "the file with the OpenPGP key of its signatures: what is not signed is not used")
	}
	if !fingerprint.MatchString(k.normalized()) {
		p.add(field+".key_fingerprint", k.Fingerprint, "the whole fingerprint of the key, 40 or 64 hex digits, as its owner publishes it")
	}
}

// normalized returns the fingerprint as it is compared: people write it in groups
// and in either case.
func (k Key) normalized() string {
	return strings.ToUpper(strings.ReplaceAll(k.Fingerprint, " ", ""))
}

// checkRepositoryURL wants the beginning of addresses that the instance can fetch: a
// path on this side is not there, and apt appends to it.
func checkRepositoryURL(p *Problems, field, value string) {
	if !checkURL(p, field, value) {
		return
	}
	if u, err := url.Parse(value); err != nil || u.Scheme == "" || strings.ContainsAny(value, "?#") {
		p.add(field, redact.Address(value), "an http or https address without a query, such as https://packages.example/deb: the instance fetches from it")
	}
}

// checkURL wants something that can be fetched and that cannot become more than
// one word of a file that apt reads. It reports whether it is that.
func checkURL(p *Problems, field, value string) bool {
	u, err := url.Parse(value)
	bad := err != nil || value == "" || strings.ContainsAny(value, " \t\r\n[]\"'\\")
	if bad || u.Scheme != "" && (u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
		p.add(field, redact.Address(value), "an http or https address, or a path on this side")
		return false
	}
	if u.User != nil {
		p.add(field, redact.Address(value), "an address without a password: it would stay in the image")
		return false
	}
	return true
}

func (o Options) checkArchives(p *Problems) {
	seen := map[string]bool{}
	for i, a := range o.Archives {
		field := fmt.Sprintf("archive[%d]", i)
		if !slices.Contains(Components(), a.Component) {
			p.add(field+".component", a.Component, "one of "+strings.Join(Components(), ", "))
		} else if seen[a.Component] && a.Component != ComponentImages {
			p.add(field+".component", a.Component, "one archive for each component")
		}
		seen[a.Component] = true
		name := download.Name(a.URL)
		if checkURL(p, field+".url", a.URL) && packed(a.Component) && !strings.HasSuffix(name, ".tar.gz") && !strings.HasSuffix(name, ".tgz") {
			p.add(field+".url", redact.Address(a.URL), "a file that ends in .tar.gz or .tgz")
		}
		switch {
		case a.Checksum == "" && o.Sums == nil:
			p.add(field+".checksum", "", "sha256:<hex> or sha512:<hex>, or a sums block with a signed file that has it: "+shownName(a.URL)+" cannot be verified")
		case a.Checksum != "" && !download.IsChecksum(a.Checksum):
			p.add(field+".checksum", a.Checksum, "sha256:<64 hex digits> or sha512:<128 hex digits>, in lower case")
		}
	}
}

// packed reports whether a component's archive is a tar archive; the others are a
// program or container images.
func packed(component string) bool {
	return slices.Contains([]string{ComponentContainerd, ComponentCNI, ComponentCrictl}, component)
}

// together are components of which all come from archives, or all from packages.
var together = [][]string{
	{ComponentKubeadm, ComponentKubelet, ComponentKubectl},
	{ComponentContainerd, ComponentRunc},
}

// checkSources wants one source for each component.
func (o Options) checkSources(p *Problems) {
	if !o.fromArchive(ComponentAgent) {
		p.add("archive", "", "an archive of the component "+ComponentAgent+": the program of this release")
	}
	for _, group := range together {
		some := slices.ContainsFunc(group, o.fromArchive)
		for _, c := range group {
			if some && !o.fromArchive(c) {
				p.add("archive", "", "an archive of the component "+c+" as well: "+strings.Join(group, ", ")+" come from archives together or not at all")
			}
		}
	}
	for _, c := range []string{ComponentKubelet, ComponentCNI, ComponentCrictl} {
		if !o.fromArchive(c) && o.Offline == "" && len(o.Repositories) == 0 {
			p.add("repository", "", "a signed repository with the packages of "+c+", or an archive of the component "+c)
		}
	}
	if o.Offline != "" && o.Sums == nil {
		p.add("sums", "", "a sums block: offline its signed file is what vouches for the packages in "+o.Offline)
	}
}
