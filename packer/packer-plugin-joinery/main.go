// Command packer-plugin-joinery is a plugin of packer: its provisioner, joinery-node,
// turns the stock machine that a builder has launched into a node image.
package main

import (
	"fmt"
	"os"

	"github.com/hashicorp/packer-plugin-sdk/plugin"
	"github.com/hashicorp/packer-plugin-sdk/version"

	"github.com/joinery/joinery/packer/packer-plugin-joinery/node"
)

// Version and VersionPrerelease are set by the linker. packer installs plugins of the
// version X.Y.Z or X.Y.Z-dev only, so what the toolchain stamps would not do.
var (
	Version           = "0.1.0"
	VersionPrerelease = "dev"
)

func main() {
	set := plugin.NewSet()
	set.RegisterProvisioner("node", new(node.Provisioner))
	set.SetVersion(version.NewPluginVersion(Version, VersionPrerelease, ""))
	if err := set.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "packer-plugin-joinery:", err)
		os.Exit(1)
	}
}
