package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/joinery/joinery/controlplane/adopt"
)

const adoptLong = `Record nodes that were there before Joinery: control-plane nodes, nodes of another
VPC, nodes on premises. Their kubelets' certificates are renewed by that record,
which holds the node's UID and its provider id or "no instance". A node that came
from an approved join needs none.

With --config, that of a control-plane node, EC2 is asked what each node is. That
takes AWS credentials that may describe instances. Nodes that EC2 contradicts are
refused; --force adopts those that are named. With --without-aws what the nodes say
about themselves is recorded: look at each of them first.

Exit codes: 0 every node that was meant is adopted, or needs not be; 1 some are
not, as the table says; 2 misuse, or something could not be read or written.`

// adoption is what the command was given.
type adoption struct {
	file, format                           string
	all, dryRun, force, remove, withoutAWS bool
	names                                  []string
}

func adoptCommand(k *kubeconfig) *cobra.Command {
	var a adoption
	cmd := &cobra.Command{
		Use: "adopt [NODE...]", Short: "Record nodes that were there before Joinery", Long: adoptLong,
		RunE: func(cmd *cobra.Command, names []string) error {
			a.names = names
			write, err := a.check()
			if err != nil {
				return err
			}
			lines, err := a.run(cmd.Context(), k)
			if err != nil {
				return err
			}
			if err := write(cmd.OutOrStdout(), lines); err != nil {
				return err
			}
			if a.withoutAWS && !a.remove {
				fmt.Fprintln(cmd.ErrOrStderr(), "joinery: EC2 was not asked: what the nodes say about themselves is recorded")
			}
			if !adopt.Complete(lines) {
				return &exitError{code: exitFound}
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&a.file, "config", "", "the ControllerConfig of the cluster, to ask EC2 by")
	f.StringVarP(&a.format, "output", "o", "text", "text or json")
	f.BoolVar(&a.all, "all", false, "adopt every node that needs it")
	f.BoolVar(&a.dryRun, "dry-run", false, "write nothing")
	f.BoolVar(&a.force, "force", false, "adopt the nodes that are named, whatever speaks against them")
	f.BoolVar(&a.remove, "remove", false, "take the records of the nodes that are named away")
	f.BoolVar(&a.withoutAWS, "without-aws", false, "believe what nodes say about themselves")
	return cmd
}

// check returns how the result is written, or what is wrong with the flags.
func (a adoption) check() (func(io.Writer, []adopt.Line) error, error) {
	var problems []error
	say := func(wrong bool, text string) {
		if wrong {
			problems = append(problems, errors.New(text))
		}
	}
	say(!a.all && len(a.names) == 0, "expected nodes to adopt, or --all")
	say(a.force && len(a.names) == 0, "--force: expected the nodes by name")
	say(a.remove && (a.all || a.force), "--remove: expected nodes by name, and neither --all nor --force")
	say(!a.remove && a.file == "" && !a.withoutAWS, "expected --config, to ask EC2 what the nodes are, or --without-aws")
	say(a.file != "" && a.withoutAWS, "expected one of --config and --without-aws")
	say(a.format != "text" && a.format != "json", fmt.Sprintf("--output: %q: expected text or json", a.format))
	if a.format == "json" {
		return adopt.WriteJSON, errors.Join(problems...)
	}
	return adopt.WriteText, errors.Join(problems...)
}

// run decides what becomes of the nodes, and writes it unless it is a dry run.
func (a adoption) run(ctx context.Context, k *kubeconfig) ([]adopt.Line, error) {
	client, err := k.connect()
	if err != nil {
		return nil, err
	}
	o := adopt.Options{Client: client, DryRun: a.dryRun}
	if a.remove {
		return adopt.Remove(ctx, o, a.names)
	}
	if a.file != "" {
		c, err := readConfig(a.file)
		if err != nil {
			return nil, err
		}
		site, err := siteOf(ctx, c.Spec)
		if err != nil {
			return nil, err
		}
		o.Rules, o.Fleet = site.Policy.Rules(), site.Fleet
	}
	return adopt.Run(ctx, o, adopt.Wish{Names: a.names, All: a.all, Force: a.force})
}
