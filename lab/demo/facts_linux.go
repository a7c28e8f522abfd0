package demo

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Facts is _out/demo.json: what was observed, from the API server, the
// simulated AWS and the agents. It holds no secret.
type Facts struct {
	// OK is true when every step was observed.
	OK      bool    `json:"ok"`
	Steps   []Step  `json:"steps"`
	Nodes   Nodes   `json:"nodes"`
	Pods    Pods    `json:"pods"`
	Tokens  Tokens  `json:"tokens"`
	Latency Latency `json:"latency"`
	// Events is the timeline, in the order in which things were seen.
	Events []Event `json:"events"`
}

// Step is one step of the story.
type Step struct {
	Name    string  `json:"name"`
	OK      bool    `json:"ok"`
	Seconds float64 `json:"seconds"`
	// Evidence is what was seen that proves the step, or what was seen instead.
	Evidence map[string]any `json:"evidence"`
}

// Nodes counts workers: after the first one joined, at the most, and at the end.
type Nodes struct {
	Start int `json:"start"`
	Peak  int `json:"peak"`
	Final int `json:"final"`
}

// Pods counts the pods of the Deployment.
type Pods struct {
	Wanted int `json:"wanted"`
	Ran    int `json:"ran"`
}

// Tokens tells of the bootstrap tokens that were published.
type Tokens struct {
	// Rotations counts publications after the first one.
	Rotations int `json:"rotations"`
	// IDs are the public halves, in the order of their publication.
	IDs []string `json:"ids"`
}

// Latency tells how long it took.
type Latency struct {
	// PendingToDesiredSeconds is from the moment at which the first pod was seen
	// to be unschedulable to the SetDesiredCapacity request at the simulated AWS.
	PendingToDesiredSeconds float64 `json:"pendingToDesiredSeconds"`
	// BootToReadySeconds is node -> phase -> seconds; "total" is from the
	// launch in EC2 to the Node being seen Ready.
	BootToReadySeconds map[string]map[string]float64 `json:"bootToReadySeconds"`
}

// Event is one thing that was seen.
type Event struct {
	Time time.Time `json:"time"`
	// Source is kubernetes, aws, agent or demo.
	Source string `json:"source"`
	// Subject is the node, pod, group, token or step that it is about.
	Subject string `json:"subject"`
	// What happened.
	What string `json:"what"`
}

// write puts the facts into dir/demo.json.
func (f *Facts) write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write facts: %w", err)
	}
	data, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return fmt.Errorf("write facts: %w", err)
	}
	path := filepath.Join(dir, "demo.json")
	if err := os.WriteFile(path+".new", append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("write facts: %w", err)
	}
	return os.Rename(path+".new", path)
}
