package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// deploy is the directory of the sources, from this package's.
const deploy = ".."

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "render:", err)
		os.Exit(1)
	}
}

// run prints the objects of one way as a YAML stream. Its working directory is that of
// this package.
func run(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("render", flag.ContinueOnError)
	with := flags.String("with", "", "optional parts, with commas between them: "+strings.Join(parts, ","))
	if err := flags.Parse(args); err != nil {
		return err
	}
	way, known := ways[flags.Arg(0)]
	if !known || flags.NArg() != 1 {
		return fmt.Errorf("expected one of plain, kustomize, chart: got %q", flags.Args())
	}
	chosen := strings.FieldsFunc(*with, func(r rune) bool { return r == ',' })
	for _, p := range chosen {
		if !slices.Contains(parts, p) {
			return fmt.Errorf("no part %q: expected %s", p, strings.Join(parts, ", "))
		}
	}
	all, err := way(chosen)
	if err != nil {
		return err
	}
	return write(out, all)
}

// ways are how the objects can be rendered, each with the optional parts of that list.
var ways = map[string]func([]string) ([]object, error){
	"plain":     plain,
	"kustomize": kustomize,
	"chart": func(chosen []string) ([]object, error) {
		values := map[string]any{}
		for _, p := range chosen {
			values[p] = map[string]any{"enabled": true}
		}
		return chart(values)
	},
}

// parts are what an operator may leave out.
var parts = []string{"legacy", "metrics", "alerts", "dashboard"}
