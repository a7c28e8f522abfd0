package boot

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

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
	// NodeUID is the UID of the Node that the join made; empty until it was seen. A
	// Node of another UID was made by something else.
	NodeUID string `json:"nodeUID,omitempty"`
	// Lost says that the Node was lost and that the machine has not joined again
	// yet; nil otherwise.
	Lost *Loss `json:"lost,omitempty"`
	// Rejoin is the last loss that was healed; nil for none.
	Rejoin *v1alpha1.Rejoin `json:"rejoin,omitempty"`
	// Complete says that the boot came to its end.
	Complete bool `json:"complete,omitempty"`
	// Boot is the timeline so far.
	Boot []v1alpha1.BootPhase `json:"boot,omitempty"`
}

// Loss is how a machine that joined stopped being that node.
type Loss struct {
	// Reason is how.
	Reason v1alpha1.LossReason `json:"reason"`
	// At is when it was certain.
	At time.Time `json:"at"`
	// Marked reports whether the Node was marked for removal.
	Marked bool `json:"marked,omitempty"`
	// Identity is that of the credentials which no longer count: a machine with
	// others has joined since.
	Identity string `json:"identity,omitempty"`
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
