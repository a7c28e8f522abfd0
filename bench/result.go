package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"
)

// Result is the outcome of one row. Fields of a peer are zero where none ran.
type Result struct {
	Workload string `json:"workload"`
	// Kind is scale-up or scale-down.
	Kind string `json:"kind"`
	// Pods are pending; Nodes and Groups are there.
	Pods   int `json:"pods"`
	Nodes  int `json:"nodes"`
	Groups int `json:"groups"`
	// Peer is the planner that ran beside ours, empty when none did.
	Peer string `json:"peer"`
	// The seconds are medians of interleaved runs, Ratio is peer to ours.
	PeerSeconds float64 `json:"peerSeconds"`
	OurSeconds  float64 `json:"ourSeconds"`
	Ratio       float64 `json:"ratio"`
	// OurColdSeconds is what one round takes from listed objects, without a cache
	// that was kept before.
	OurColdSeconds float64 `json:"ourColdSeconds"`
	// Nodes of a scale-up are those that the plan adds, of a scale-down those
	// that it keeps. No plan can do with fewer than LowerBoundNodes.
	PeerNodes       int `json:"peerNodes"`
	OurNodes        int `json:"ourNodes"`
	LowerBoundNodes int `json:"lowerBoundNodes"`
	// OurAllocs counts the allocations of one run, OurPeakBytes is the most that
	// the heap grew in one.
	OurAllocs    uint64 `json:"ourAllocs"`
	OurPeakBytes int64  `json:"ourPeakBytes"`
	// Valid says that our plan holds by the scheduler's own filters and accounts
	// for every pod; PeerValid says the same of the peer's. Problem is the first
	// thing wrong with either.
	Valid     bool   `json:"valid"`
	PeerValid bool   `json:"peerValid"`
	Problem   string `json:"problem"`
	// Runs is how often the peer ran with PeerWorkers, the better of its worker
	// counts; without a peer how often ours did.
	Runs        int `json:"runs"`
	PeerWorkers int `json:"peerWorkers"`
	// CASeconds is what Cluster Autoscaler took for a workload of this shape. It
	// was measured elsewhere, not in this run. CARatio is it to ours.
	CASeconds float64 `json:"caSeconds"`
	CARatio   float64 `json:"caRatio"`
	// The costs are of the added nodes, in US dollars an hour.
	OurCost      float64 `json:"ourCost"`
	PeerCost     float64 `json:"peerCost"`
	OurUnplaced  int     `json:"ourUnplaced"`
	PeerUnplaced int     `json:"peerUnplaced"`
}

// writeJSON writes the results to a file, and its directory if need be.
func writeJSON(path string, results []Result) error {
	data, err := json.MarshalIndent(results, "", "  ")
	if err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	if err := os.WriteFile(path, append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	return nil
}

// writeTable prints the results for people.
func writeTable(out io.Writer, results []Result) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "%-20s\tpods\tnodes\tgroups\tours s\tcold s\tpeer s\tratio\tCA s*\tratio*\tnodes: ours\tpeer\tbound\t$/h: ours\tpeer\tallocs\tpeak MB\truns\tvalid\t\n", "workload")
	for _, r := range results {
		fmt.Fprintf(w, "%-20s\t%d\t%d\t%d\t%.4f\t%.4f\t%s\t%s\t%s\t%s\t%d\t%s\t%d\t%.2f\t%s\t%d\t%.1f\t%d\t%s\t\n",
			r.Workload, r.Pods, r.Nodes, r.Groups,
			r.OurSeconds, r.OurColdSeconds, known("%.3f", r.PeerSeconds), known("%.0f", r.Ratio), known("%.2f", r.CASeconds), known("%.0f", r.CARatio),
			r.OurNodes, known("%.0f", float64(r.PeerNodes)), r.LowerBoundNodes, r.OurCost, known("%.2f", r.PeerCost),
			r.OurAllocs, float64(r.OurPeakBytes)/(1<<20), r.Runs, r.verdict())
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("print results: %w", err)
	}
	_, err := fmt.Fprintln(out, "* Cluster Autoscaler's first RunOnce, as recorded elsewhere: not part of this run.")
	return err
}

func known(format string, v float64) string {
	if v == 0 {
		return "-"
	}
	return fmt.Sprintf(format, v)
}

func (r Result) verdict() string {
	switch {
	case !r.Valid:
		return "NO: " + r.Problem
	case r.Peer != "" && !r.PeerValid:
		return "ours; peer NOT: " + r.Problem
	case r.OurUnplaced > 0:
		return fmt.Sprintf("yes, but %d pods left", r.OurUnplaced)
	}
	return "yes"
}
