// Command joinery-controller runs on every master of a cluster. The one that
// holds the Lease publishes join tokens, judges the signing requests of new
// nodes, removes orphaned Node objects and grows and shrinks the node groups.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/output"
	"github.com/joinery/joinery/internal/version"
)

const defaultConfig = "/etc/joinery/controller.yaml"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := command(os.Stdout, os.Stderr).ExecuteContext(ctx); err != nil {
		report(os.Stderr, err)
		os.Exit(1)
	}
}

// report prints each problem of a configuration in its own line.
func report(w io.Writer, err error) {
	var invalid *v1alpha1.InvalidError
	if !errors.As(err, &invalid) {
		fmt.Fprintln(w, "joinery-controller:", output.Line(err.Error()))
		return
	}
	for _, p := range invalid.Problems {
		fmt.Fprintln(w, "joinery-controller: config:", output.Line(p.String()))
	}
}

func command(stdout, stderr io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use: "joinery-controller", Short: "The control plane's part of Joinery",
		SilenceErrors: true, SilenceUsage: true,
	}
	root.SetOut(stdout)
	root.SetErr(stderr)
	var file string
	run := &cobra.Command{
		Use: "run", Short: "Run until told to stop (SIGTERM); SIGHUP rotates the join token", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := load(file)
			if err != nil {
				return err
			}
			broken := func() error {
				_, err := load(file)
				return err
			}
			return run(cmd.Context(), c, broken, output.NewLogger(stderr, slog.LevelInfo))
		},
	}
	var offline bool
	check := &cobra.Command{
		Use: "check-config", Short: "Say everything that is wrong with a configuration and the files that it names", Args: cobra.NoArgs,
		Long: `Say everything that is wrong with a configuration and the files that it names.
If it names Auto Scaling groups, AWS is asked whether it knows them. Where AWS cannot
be asked, that is said and is no error.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := load(file)
			if err != nil {
				return err
			}
			if !offline {
				if err := checkNamed(cmd.Context(), c.Spec, cmd.OutOrStdout()); err != nil {
					return err
				}
			}
			fmt.Fprintln(cmd.OutOrStdout(), file+": valid")
			return nil
		},
	}
	check.Flags().BoolVar(&offline, "offline", false, "ask AWS nothing")
	for _, c := range []*cobra.Command{run, check} {
		c.Flags().StringVar(&file, "config", defaultConfig, "the ControllerConfig to use")
	}
	root.AddCommand(run, check, credentialCommand())
	version.AddTo(root)
	return root
}

// load reads the configuration and the files that it names. What is wrong with
// any of them is in one *v1alpha1.InvalidError.
func load(file string) (*v1alpha1.ControllerConfig, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read config: %w", err)
	}
	all := &v1alpha1.InvalidError{Kind: v1alpha1.KindControllerConfig}
	add := func(err error) error {
		var invalid *v1alpha1.InvalidError
		if errors.As(err, &invalid) {
			all.Problems = append(all.Problems, invalid.Problems...)
			return nil
		}
		return err
	}
	c, err := v1alpha1.DecodeControllerConfig(text)
	if err := add(err); err != nil {
		return nil, fmt.Errorf("read config %s: %w", file, err)
	}
	if _, err := readFacts(filesNamed(text)); add(err) != nil {
		return nil, fmt.Errorf("read config %s: %w", file, err)
	}
	if len(all.Problems) > 0 {
		return nil, fmt.Errorf("read config %s: %w", file, all)
	}
	return c, nil
}

// filesNamed returns the settings that name files, out of a configuration that
// may be invalid in everything else.
func filesNamed(config []byte) v1alpha1.AutoscalerSettings {
	var c struct {
		Spec struct {
			Autoscaler struct {
				Prices          string `json:"prices"`
				SchedulerConfig string `json:"schedulerConfig"`
			} `json:"autoscaler"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal(config, &c); err != nil {
		return v1alpha1.AutoscalerSettings{} // the decoder says why
	}
	return v1alpha1.AutoscalerSettings{Prices: c.Spec.Autoscaler.Prices, SchedulerConfig: c.Spec.Autoscaler.SchedulerConfig}
}
