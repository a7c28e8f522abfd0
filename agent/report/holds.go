package report

import (
	"context"
	"errors"
	"os"
	"slices"

	"github.com/joinery/joinery/agent/host"
	"github.com/joinery/joinery/internal/quote"
)

// HoldDirectory is where any file holds the node: for software that has no way
// to keep an inhibitor lock, such as a cron job. It is on tmpfs, so that a
// reboot forgets what nobody can take away any more.
const HoldDirectory = "/run/joinery/hold.d"

// inhibitorLister is the part of host.Bus that lists locks.
type inhibitorLister interface {
	Inhibitors(ctx context.Context) ([]host.Inhibitor, error)
}

// ReadHolds returns what holds the node now. On an error of one source the
// other's holds are returned with it.
func ReadHolds(ctx context.Context, locks inhibitorLister, directory string) (Holds, error) {
	var h Holds
	list, lockErr := locks.Inhibitors(ctx)
	for _, l := range list {
		if l.Holds() {
			h.Inhibitors = append(h.Inhibitors, quote.Words(l.Who)+": "+quote.Words(l.Why))
		}
	}
	slices.Sort(h.Inhibitors)
	entries, fileErr := os.ReadDir(directory)
	if errors.Is(fileErr, os.ErrNotExist) {
		fileErr = nil
	}
	for _, e := range entries {
		h.Files = append(h.Files, quote.Words(e.Name()))
	}
	return h, errors.Join(lockErr, fileErr)
}
