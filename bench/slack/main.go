// Command slack plays the planner's plans with kube-scheduler's own code, which
// spreads pods where the planner packs them: how many pods wait for a second round,
// how many nodes later rounds add, and what some more nodes in the first plan
// change. See docs/slack.md.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"text/tabwriter"
	"time"

	"k8s.io/klog/v2"

	"github.com/joinery/joinery/bench/workload"
)

// mix is a workload by its name.
type mix struct {
	name string
	make workload.Mix
}

func mixes() []mix {
	return []mix{
		{"plain", workload.Plain}, {"one deployment", workload.PlainOne}, {"tiny", workload.PlainTiny},
		{"zone spread", workload.Spread}, {"host spread", workload.SpreadHostname}, {"zone affinity", workload.Affinity},
		{"host anti-affinity", workload.AntiAffinity}, {"diverse", workload.Diverse},
	}
}

func main() {
	pods := flag.Int("pods", 1000, "pending pods")
	seeds := flag.Int("seeds", 3, "workloads of each mix")
	oneByOne := flag.Bool("one-by-one", false, "let the nodes join one after the other")
	slacks := flag.String("slack", "0,1,2,3,5", "per cent of nodes on top of the plan, one run for each")
	asScheduled := flag.Bool("as-scheduled", false, "plan for how the scheduler places pods, not for the tightest packing")
	only := flag.String("mix", "", "only mixes whose name contains this")
	calm := flag.Duration("calm", time.Second, "how long nothing must happen for the scheduler to be at rest")
	flag.Parse()
	klog.SetLogger(klog.NewKlogr().V(10))
	klog.SetOutput(io.Discard)
	klog.LogToStderr(false)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := report(ctx, os.Stdout, trial{oneByOne: *oneByOne, asScheduled: *asScheduled, calm: *calm}, *pods, *seeds, *slacks, *only); err != nil {
		fmt.Fprintln(os.Stderr, "slack:", err)
		os.Exit(1)
	}
}

func report(ctx context.Context, out io.Writer, how trial, pods, seeds int, slacks, only string) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "mix\tslack %\truns\tbound\tplanned\tlate pods %\truns with none late\tmost rounds\tnodes in the end\tend/bound")
	for _, m := range mixes() {
		if !strings.Contains(m.name, only) {
			continue
		}
		for _, text := range strings.Split(slacks, ",") {
			var percent float64
			if _, err := fmt.Sscan(text, &percent); err != nil {
				return fmt.Errorf("slack %q: expected a number: %w", text, err)
			}
			s := sum{slack: percent}
			for seed := range uint64(seeds) {
				in := workload.Spec{Mix: m.make, Pods: pods, Groups: 3, Seed: seed + 1}.Input()
				t := how
				t.in, t.slack = in, percent/100
				o, err := t.run(ctx)
				if err != nil {
					return fmt.Errorf("%s, seed %d: %w", m.name, seed, err)
				}
				s.add(o, workload.NewNodesBound(in))
			}
			s.print(w, m.name)
			if err := w.Flush(); err != nil {
				return fmt.Errorf("print: %w", err)
			}
		}
	}
	return nil
}

// sum adds up the runs of one line.
type sum struct {
	slack                                               float64
	runs, bound, planned, late, pods, nodes, none, most int
}

func (s *sum) add(o outcome, bound int) {
	s.runs++
	s.bound += bound
	s.planned += o.planned
	s.late += o.late
	s.pods += o.pods
	s.nodes += o.nodes
	s.most = max(s.most, o.rounds)
	if o.late == 0 {
		s.none++
	}
}

func (s *sum) print(w io.Writer, name string) {
	fmt.Fprintf(w, "%s\t%g\t%d\t%d\t%d\t%.1f\t%d\t%d\t%d\t%.3f\n", name, s.slack, s.runs, s.bound, s.planned,
		100*float64(s.late)/float64(s.pods), s.none, s.most, s.nodes, float64(s.nodes)/float64(s.bound))
}
