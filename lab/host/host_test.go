package host

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "lock")
	unlock, err := Lock(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := TryLock(path); !errors.Is(err, ErrLocked) {
		t.Errorf("a held lock is given away: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := Lock(ctx, path); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting for a held lock gives %v", err)
	}
	unlock()
	again, err := TryLock(path)
	if err != nil {
		t.Fatal(err)
	}
	again()
}

func TestRunEndsTheGroup(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	begun := filepath.Join(t.TempDir(), "begun")
	go func() {
		for _, err := os.Stat(begun); err != nil && ctx.Err() == nil; _, err = os.Stat(begun) {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	begin := time.Now()
	// The shell's child keeps the pipe open: only its death lets Run return early.
	out, err := Run(exec.CommandContext(ctx, "sh", "-c", `echo begun; sleep 600 & : > "$0"; wait`, begun))
	if err == nil || string(out) != "begun\n" {
		t.Errorf("got %q, %v", out, err)
	}
	if took := time.Since(begin); took > 5*time.Minute {
		t.Errorf("took %s", took)
	}
}

func TestMissingError(t *testing.T) {
	err := &MissingError{Packages: []string{"a", "b"}, Why: "no root"}
	if got := err.Error(); got != "missing packages: a b (no root)" {
		t.Error(got)
	}
}
