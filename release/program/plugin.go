package program

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
)

// pluginAPI is the version of the protocol between packer and its plugins. It stands in
// the names of files, by which packer tells what it can run.
const pluginAPI = "x5.0"

var plain = regexp.MustCompile(`^v((?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.(?:0|[1-9]\d*))(-.+)?$`)

// PluginVersion returns a version as packer takes it, which knows X.Y.Z and X.Y.Z-dev
// alone: everything that is not a release itself is its dev.
func PluginVersion(version string) (string, error) {
	parts := plain.FindStringSubmatch(version)
	switch {
	case parts == nil:
		return "", fmt.Errorf("version of %s: %q: expected one such as v0.3.0", Plugin, version)
	case parts[2] != "":
		return parts[1] + "-dev", nil
	}
	return parts[1], nil
}

// BuildPlugin compiles packer's plugin of the tree at root into dir, with the version of
// the release.
func BuildPlugin(ctx context.Context, root, dir, version string, p Platform) (Program, error) {
	own, err := PluginVersion(version)
	if err != nil {
		return Program{}, err
	}
	number, prerelease, _ := strings.Cut(own, "-")
	file := filepath.Join(dir, PluginFile(own, p))
	err = compile(ctx, filepath.Join(root, "packer", Plugin), ".", file, p, "main.Version="+number, "main.VersionPrerelease="+prerelease)
	if err != nil {
		return Program{}, fmt.Errorf("build %s for %s: %w", Plugin, p, err)
	}
	built, err := Read(file, Plugin, p)
	built.Version = "v" + own // the toolchain's is that of a module in a subdirectory
	return built, err
}

// PluginFile is the name that packer looks for.
func PluginFile(version string, p Platform) string {
	name := strings.Join([]string{Plugin, "v" + version, pluginAPI, p.String()}, "_")
	if p.OS == "windows" {
		name += ".exe"
	}
	return name
}
