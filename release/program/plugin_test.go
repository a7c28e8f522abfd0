package program_test

import (
	"testing"

	"github.com/joinery/joinery/release/program"
)

func TestPluginVersion(t *testing.T) {
	for version, want := range map[string]string{
		"v0.3.0": "0.3.0", "v0.3.0-rc.1": "0.3.0-dev", "v0.0.0-20261130180200-63fcc01a2b3c": "0.0.0-dev", "v0.3.1-0.20261130180200-63fcc01a2b3c": "0.3.1-dev",
	} {
		if got, err := program.PluginVersion(version); err != nil || got != want {
			t.Errorf("%s: %s, %v, want %s", version, got, err, want)
		}
	}
	for _, version := range []string{"", "(devel)", "0.3.0", "v0.3", "v0.03.0", "v00.3.0", "v0.3.00-rc.1"} {
		if got, err := program.PluginVersion(version); err == nil {
			t.Errorf("%q is accepted as %s", version, got)
		}
	}
}

func TestPluginFile(t *testing.T) {
	for want, p := range map[string]program.Platform{
		"packer-plugin-joinery_v0.3.0_x5.0_linux_arm64":       {OS: "linux", Arch: "arm64"},
		"packer-plugin-joinery_v0.3.0_x5.0_windows_amd64.exe": {OS: "windows", Arch: "amd64"},
	} {
		if got := program.PluginFile("0.3.0", p); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
