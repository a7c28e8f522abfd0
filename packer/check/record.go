package check

import (
	"encoding/json"
	"fmt"
)

// RecordPath is where an image says what it holds.
const RecordPath = "/etc/joinery/image.json"

// Record is what an image says about itself. Tags of the AMI repeat it, and the
// checks hold the image to it.
type Record struct {
	// System is the operating system's id and version, Arch dpkg's architecture.
	System string `json:"system"`
	Arch   string `json:"arch"`
	// KubernetesVersion, ContainerdVersion and PauseImage are as the image was
	// ordered.
	KubernetesVersion string `json:"kubernetesVersion"`
	ContainerdVersion string `json:"containerdVersion"`
	PauseImage        string `json:"pauseImage"`
	// Held are packages that keep their version.
	Held []string `json:"held,omitempty"`
	// Masked are units that never start.
	Masked []string `json:"masked"`
}

// Encode returns the record as the image holds it.
func (r Record) Encode() ([]byte, error) {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode image record: %w", err)
	}
	return append(data, '\n'), nil
}
