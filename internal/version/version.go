// Package version says what the program that runs was built from.
package version

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
)

// unstamped is the version of a build that the Go toolchain stamped none into.
const unstamped = "(devel)"

// libraries are the modules whose versions say which Kubernetes a program was made for.
var libraries = []string{"k8s.io/api", "k8s.io/apimachinery", "k8s.io/client-go", "k8s.io/kubernetes"}

// Info describes a build. What the toolchain did not stamp is empty.
type Info struct {
	// Version is the module's version or a pseudo-version of the commit.
	Version string `json:"version"`
	// Commit and CommitTime are those of the source, the time as RFC 3339.
	Commit     string `json:"commit,omitempty"`
	CommitTime string `json:"commitTime,omitempty"`
	// Modified reports whether the source differed from the commit.
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"goVersion"`
	Platform string `json:"platform"`
	// Kubernetes is module -> version, of Kubernetes' libraries.
	Kubernetes map[string]string `json:"kubernetesLibraries"`
}

// Version returns what the Go toolchain stamped into the program: the module's version
// or a pseudo-version of the commit, and "(devel)" without either.
func Version() string { return Read().Version }

// Read describes the program that runs.
func Read() Info {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{GoVersion: runtime.Version()}
	}
	return Of(info)
}

// Of describes a program by what the toolchain stamped into it.
func Of(build *debug.BuildInfo) Info {
	i := Info{Version: unstamped, Go: build.GoVersion, Kubernetes: map[string]string{}}
	if build.Main.Version != "" {
		i.Version = build.Main.Version
	}
	var platform [2]string
	for _, s := range build.Settings {
		switch s.Key {
		case "vcs.revision":
			i.Commit = s.Value
		case "vcs.time":
			i.CommitTime = s.Value
		case "vcs.modified":
			i.Modified = s.Value == "true"
		case "GOOS":
			platform[0] = s.Value
		case "GOARCH":
			platform[1] = s.Value
		}
	}
	i.Platform = strings.Trim(strings.Join(platform[:], "/"), "/")
	for _, d := range build.Deps {
		if slices.Contains(libraries, d.Path) {
			i.Kubernetes[d.Path] = selected(d).Version
		}
	}
	return i
}

// selected returns the module that was compiled in place of d, if it was replaced.
func selected(d *debug.Module) *debug.Module {
	if d.Replace != nil {
		return d.Replace
	}
	return d
}

// Line says the same in one line, for --version.
func (i Info) Line() string {
	parts := []string{i.Version}
	if i.Commit != "" {
		parts = append(parts, "commit "+i.Commit)
	}
	parts = append(parts, i.Go)
	if i.Platform != "" {
		parts = append(parts, i.Platform)
	}
	for _, l := range libraries {
		if v := i.Kubernetes[l]; v != "" {
			parts = append(parts, fmt.Sprintf("%s %s", l, v))
		}
	}
	return strings.Join(parts, ", ")
}
