package version

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"
)

// AddTo gives a program its --version, which prints one line, and its command version,
// which prints the version alone or, with -o json, all of Info.
func AddTo(root *cobra.Command) {
	root.Version = Read().Line()
	root.AddCommand(command())
}

func command() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		Long: `Print the version. With -o json, also print the commit, the version of Go and the
versions of Kubernetes' libraries that the program was built from.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			info := Read()
			switch format {
			case "text":
				_, err := fmt.Fprintln(cmd.OutOrStdout(), info.Version)
				return err
			case "json":
				e := json.NewEncoder(cmd.OutOrStdout())
				e.SetIndent("", "  ")
				return e.Encode(info)
			}
			return fmt.Errorf("--output: %q: expected text or json", format)
		},
	}
	cmd.Flags().StringVarP(&format, "output", "o", "text", "text or json")
	return cmd
}
