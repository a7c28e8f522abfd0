// Command release makes a release of Joinery, on this machine: packages, archives, bills
// of materials and checksums, and the operator's signatures in a step of its own. It has
// a module of its own: what packs and signs is in no program that is shipped.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/joinery/joinery/release/program"
	"github.com/joinery/joinery/release/sign"
)

// passphraseVariable holds the passphrase of a locked key: an argument would be seen by
// every user of the machine.
const passphraseVariable = "JOINERY_SIGNING_PASSPHRASE"

// everywhere is what a release is for, unless it is asked for less.
var everywhere = []program.Platform{
	{OS: "linux", Arch: "amd64"}, {OS: "linux", Arch: "arm64"},
	{OS: "darwin", Arch: "amd64"}, {OS: "darwin", Arch: "arm64"},
	{OS: "windows", Arch: "amd64"},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	err := command().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	root := &cobra.Command{Use: "release", Short: "Make a release of Joinery", SilenceErrors: true, SilenceUsage: true}
	var r request
	var platforms []string
	build := &cobra.Command{
		Use: "build", Short: "Compile and pack everything into a directory", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, name := range platforms {
				system, arch, ok := strings.Cut(name, "/")
				if !ok {
					return fmt.Errorf("--platform: %q: expected one such as linux/arm64", name)
				}
				r.platforms = append(r.platforms, program.Platform{OS: system, Arch: arch})
			}
			return r.build(cmd.Context(), cmd.OutOrStdout())
		},
	}
	build.Flags().StringVar(&r.root, "root", "..", "the checkout to release")
	build.Flags().StringVar(&r.out, "out", "../dist", "where the release goes; what is there is removed")
	var all []string
	for _, p := range everywhere {
		all = append(all, p.OS+"/"+p.Arch)
	}
	build.Flags().StringSliceVar(&platforms, "platform", all, "what to release for; other than linux gets the operator's program alone")
	var dir, key string
	signing := &cobra.Command{
		Use: "sign", Short: "Sign a release with an OpenPGP key, " + passphraseVariable + " unlocks it", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			k, err := sign.Key(key, []byte(os.Getenv(passphraseVariable)))
			if err != nil {
				return err
			}
			return sign.Release(dir, k)
		},
	}
	signing.Flags().StringVar(&dir, "dir", "../dist", "the release")
	signing.Flags().StringVar(&key, "key", "", "a file with the armored private key")
	if err := signing.MarkFlagRequired("key"); err != nil {
		panic(err) // the flag is defined above
	}
	root.AddCommand(build, signing)
	return root
}
