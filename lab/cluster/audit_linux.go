package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/joinery/joinery/controlplane/credential"
)

const (
	auditPolicyFile = "/etc/kubernetes/audit/policy.yaml"
	auditLog        = "/var/log/kubernetes/audit/audit.log"
)

// ControllerRequests returns what joinery-controller asked the API servers of
// all masters for since the cluster was made, also of masters that are down.
func (c *Cluster) ControllerRequests() ([]Request, error) {
	var all []Request
	for _, m := range c.masters {
		// Full logs are set aside as audit-<time>.log.
		files, err := filepath.Glob(strings.TrimSuffix(m.Machine.Path(auditLog), ".log") + "*.log")
		if err != nil {
			return nil, fmt.Errorf("read audit log: %w", err)
		}
		for _, f := range files {
			text, err := os.ReadFile(f)
			if errors.Is(err, fs.ErrNotExist) {
				continue // set aside just now, and found under its new name or lost
			}
			if err != nil {
				return nil, fmt.Errorf("read audit log: %w", err)
			}
			// The last line may still be being written, or cut by a pulled plug.
			text = text[:bytes.LastIndexByte(text, '\n')+1]
			requests, err := ParseAudit(bytes.NewReader(text), credential.User)
			if err != nil {
				return nil, fmt.Errorf("read audit log of %s: %w", m.NodeName, err)
			}
			all = append(all, requests...)
		}
	}
	return all, nil
}
