package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/joinery/joinery/controlplane/credential"
)

// credentialCommand renews the controller's client certificate. It is run as root,
// by joinery-credentials.service.
func credentialCommand() *cobra.Command {
	var r credential.Request
	cmd := &cobra.Command{
		Use: "renew-credential", Short: "Make the controller's client certificate, or renew it after half of its life", Args: cobra.NoArgs,
		Long: `Make the controller's kubeconfig, client certificate and copy of the CA on this
control-plane node. A certificate that has more than half of its life left stays.
It must be able to read the cluster's CA key, so it is run as root.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if r.Life < time.Hour {
				return fmt.Errorf("--life: %s: expected 1h or more", r.Life)
			}
			expires, renewed, err := credential.Renew(r)
			if err != nil {
				return err
			}
			text := "stays"
			if renewed {
				text = "is new"
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "client certificate %s: it ends at %s\n", text, expires.UTC().Format(time.RFC3339))
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&r.CACert, "ca-cert", "/etc/kubernetes/pki/ca.crt", "the cluster's CA")
	f.StringVar(&r.CAKey, "ca-key", "/etc/kubernetes/pki/ca.key", "its key")
	f.StringVar(&r.Server, "server", "", "the URL of this node's own API server; as --server-from names it when empty")
	f.StringVar(&r.ServerFrom, "server-from", "/etc/kubernetes/controller-manager.conf", "a kubeconfig that names it")
	f.StringVar(&r.Dir, "dir", "/etc/joinery/private/controller", "where the files go; its parent is closed to all but root")
	f.DurationVar(&r.Life, "life", 24*time.Hour, "how long a certificate lasts")
	return cmd
}
