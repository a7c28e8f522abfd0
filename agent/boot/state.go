package boot

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/joinery/joinery/agent/atomicfile"
	"github.com/joinery/joinery/api/v1alpha1"
)

// State is what the agent remembers from one run to the next. It is a memory
// of what happened and never a proof: whether the machine is joined is told by
// the kubelet's certificate alone.
type State struct {
	// InstanceID that all else is about. Another instance with this file was
	// launched from an image that was made of a used node.
	InstanceID string `json:"instanceID"`
	// BootID is the kernel's id of the boot that Boot is about.
	BootID string `json:"bootID,omitempty"`
	// NodeName that the instance joined as.
	NodeName string `json:"nodeName,omitempty"`
	// TokenID is the public half of the token that it joined with.
	TokenID string `json:"tokenID,omitempty"`
	// Complete says that the boot came to its end.
	Complete bool `json:"complete,omitempty"`
	// Boot is the timeline so far.
	Boot []v1alpha1.BootPhase `json:"boot,omitempty"`
}

// Load reads the state; the zero State when there is none. An error leaves the
// zero State usable too.
func Load(path string) (State, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return State{}, nil
	}
	if err != nil {
		return State{}, fmt.Errorf("read state: %w", err)
	}
	var s State
	if err := json.Unmarshal(data, &s); err != nil {
		return State{}, fmt.Errorf("read state %s: %w", path, err)
	}
	return s, nil
}

// Save writes the state.
func (s State) Save(path string) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("save state: %w", err)
	}
	return atomicfile.Write(path, append(data, '\n'))
}
