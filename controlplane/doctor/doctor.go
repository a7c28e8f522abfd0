// Package doctor examines a cluster for what makes Joinery unsafe or keeps
// nodes from joining. What was seen and what is to be said about it are apart:
// a check reads, a pure function judges.
package doctor

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/joinery/joinery/api/v1alpha1"
)

// Level says how bad a finding is.
type Level string

// The levels, from best to worst.
const (
	// OK is as it should be.
	OK Level = "ok"
	// Skipped was not looked at because what it takes was not given.
	Skipped Level = "skipped"
	// Warning works, but not as it should.
	Warning Level = "warning"
	// Unknown could not be looked at: it may be anything.
	Unknown Level = "unknown"
	// Broken keeps nodes from joining, now or soon.
	Broken Level = "error"
	// Unsafe lets somebody in who should not be.
	Unsafe Level = "unsafe"
)

// Finding is what one check says about one thing. It holds no secrets.
type Finding struct {
	// Check is the stable id of the check.
	Check string `json:"check"`
	// Level says how bad it is.
	Level Level `json:"level"`
	// Found is what was seen.
	Found string `json:"found"`
	// Why says why that matters; empty for what is well.
	Why string `json:"why,omitempty"`
	// Mend is the command that mends it; empty for what is well.
	Mend string `json:"mend,omitempty"`
}

// Cluster is what is examined.
type Cluster struct {
	// Client has the rights of the operator who asks. Of a check that takes more,
	// the finding is Unknown.
	Client kubernetes.Interface
	// Version of Joinery that images are held to.
	Version string
	// Name of the cluster; empty takes tokens of every name for Joinery's.
	Name string
	// Kubeconfig is the controller's own, on this machine; empty leaves its
	// certificate out.
	Kubeconfig string
	// Published is where nodes find their join bundle; nil leaves it out.
	Published *Published
	// Approver are the controller's settings about proofs of identity; nil leaves
	// them out.
	Approver *v1alpha1.ApproverSettings
	// Site says where the cluster's nodes are; nil leaves out what takes EC2.
	Site func(context.Context) (Site, error)
}

// patience bounds one check.
const patience = 20 * time.Second

// check is one subject of examination. Its id is stable: people mute by it.
type check struct {
	id   string
	look func(context.Context, Cluster, time.Time) ([]Finding, error)
}

// checks is everything, in the order in which findings are shown.
var checks = []check{
	{"auto-approval", autoApproval},
	{"token-rights", tokenRights},
	{"api-server-flags", apiServerFlags},
	{"controller-manager-flags", controllerManagerFlags},
	{"permissions", permissions},
	{"leader", leadership},
	{"grants", grants},
	{"proofs", proofs},
	{"certificates", certificates},
	{"images", groupImages},
	{"client-certificate", clientCertificate},
	{"join-bundle", joinBundle},
	{"foreign-tokens", foreignTokens},
	{"uploaded-certs", uploadedCerts},
	{"pending-requests", pendingRequests},
}

// Examine runs every check, side by side, and returns at least one finding of
// each, in a fixed order.
func Examine(ctx context.Context, c Cluster) []Finding {
	found := make([][]Finding, len(checks))
	var looking sync.WaitGroup
	for i, k := range checks {
		looking.Go(func() { found[i] = k.run(ctx, c, time.Now()) })
	}
	looking.Wait()
	var all []Finding
	for _, f := range found {
		all = append(all, f...)
	}
	return all
}

func (k check) run(ctx context.Context, c Cluster, now time.Time) []Finding {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	found, err := k.look(ctx, c, now)
	if err != nil {
		found = append(found, Finding{
			Level: Unknown, Found: err.Error(),
			Why: "it could not be looked at, so nothing is known about it", Mend: "joinery doctor, with the rights of a cluster administrator",
		})
	}
	for i := range found {
		found[i].Check = k.id
	}
	return found
}

// Worst returns the worst level of all.
func Worst(all []Finding) Level {
	order := []Level{OK, Skipped, Warning, Unknown, Broken, Unsafe}
	rank := func(l Level) int {
		for i, o := range order {
			if o == l {
				return i
			}
		}
		return len(order)
	}
	worst := OK
	for _, f := range all {
		if rank(f.Level) > rank(worst) {
			worst = f.Level
		}
	}
	return worst
}

func well(format string, args ...any) []Finding {
	return []Finding{{Level: OK, Found: fmt.Sprintf(format, args...)}}
}
