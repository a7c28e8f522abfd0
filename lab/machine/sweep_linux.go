package machine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/joinery/joinery/lab/host"
	"github.com/joinery/joinery/lab/netns"
)

// Run is a lab run of which something is on this computer.
type Run struct {
	Prefix string
	// Live says that the process which made it still runs.
	Live bool
}

// Runs lists all runs, living and dead, that left something here. root is where
// their disks are; DefaultRoot when empty.
func Runs(root string) ([]Run, error) {
	if root == "" {
		root = DefaultRoot
	}
	t, err := traces("jl", root)
	if err != nil {
		return nil, err
	}
	found := map[string]bool{}
	for _, names := range [][]string{t.namespaces, t.links, base(t.cgroups), base(t.dirs)} {
		for _, name := range names {
			if p := prefixes.FindString(name); p != "" {
				found[p] = true
			}
		}
	}
	var out []Run
	for _, p := range slices.Sorted(maps.Keys(found)) {
		out = append(out, Run{Prefix: p, Live: live(filepath.Join(root, p, lockName))})
	}
	return out, nil
}

func live(lock string) bool {
	if _, err := os.Stat(lock); err != nil {
		return false
	}
	unlock, err := host.TryLock(lock)
	if err != nil {
		return errors.Is(err, host.ErrLocked)
	}
	unlock()
	return false
}

// Leftovers describes everything of the run called prefix that is still on this
// computer: processes, mounts, namespaces, links, cgroups, directories. An empty
// list after Host.Close proves that nothing stayed.
func Leftovers(prefix, root string) ([]string, error) {
	if root == "" {
		root = DefaultRoot
	}
	t, err := traces(prefix, root)
	if err != nil {
		return nil, err
	}
	return t.describe(), nil
}

// Sweep removes everything of the run called prefix, which its process left
// behind when it was killed. It refuses a run whose process lives.
func Sweep(ctx context.Context, prefix, root string) error {
	if root == "" {
		root = DefaultRoot
	}
	if prefixes.FindString(prefix) != prefix {
		return fmt.Errorf("sweep: %q is not a run's prefix", prefix)
	}
	if live(filepath.Join(root, prefix, lockName)) {
		return fmt.Errorf("sweep %s: %w", prefix, host.ErrLocked)
	}
	t, err := traces(prefix, root)
	if err != nil {
		return fmt.Errorf("sweep %s: %w", prefix, err)
	}
	c := cgroup{dirs: t.cgroups}
	c.kill()
	errs := []error{killAll(ctx, t.processes)}
	for _, ns := range t.namespaces {
		errs = append(errs, netns.Delete(ns))
	}
	removing, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	errs = append(errs, c.remove(removing))
	for _, dir := range t.dirs {
		if err := host.Unmount(dir); err != nil {
			errs = append(errs, err)
			continue
		}
		errs = append(errs, os.RemoveAll(dir))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("sweep %s: %w", prefix, err)
	}
	return nil
}

// killAll kills what does not sit in a machine's cgroup, such as commands that
// were run inside one, and waits until all are gone.
func killAll(ctx context.Context, pids []int) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for _, pid := range pids {
		_ = unix.Kill(pid, unix.SIGKILL) // it may have ended by now
	}
	for _, pid := range pids {
		for unix.Kill(pid, 0) == nil && !zombie(pid) {
			select {
			case <-ctx.Done():
				return fmt.Errorf("wait for process %d: %w", pid, context.Cause(ctx))
			case <-tick.C:
			}
		}
	}
	return nil
}

func zombie(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true
	}
	_, after, _ := strings.Cut(string(stat), ") ") // the name may hold blanks
	return strings.HasPrefix(after, "Z")
}

// found is what a run, or all of them, has on the computer.
type found struct {
	processes                                []int
	mounts, namespaces, links, cgroups, dirs []string
}

func (f found) describe() []string {
	var out []string
	for _, pid := range f.processes {
		name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if err != nil {
			continue // it ended meanwhile
		}
		out = append(out, fmt.Sprintf("process %d (%s)", pid, strings.TrimSpace(string(name))))
	}
	for _, kind := range []struct {
		name  string
		items []string
	}{
		{"mount", f.mounts}, {"network namespace", f.namespaces}, {"link", f.links},
		{"cgroup", f.cgroups}, {"directory", f.dirs},
	} {
		for _, item := range kind.items {
			out = append(out, kind.name+" "+item)
		}
	}
	return out
}

// traces looks for everything whose name begins with prefix.
func traces(prefix, root string) (found, error) {
	var f found
	var errs [3]error
	f.namespaces, errs[0] = netns.List(prefix)
	points, _, err := hierarchies()
	errs[1] = err
	for _, p := range append(points, root, propagateDir) {
		matches, err := filepath.Glob(filepath.Join(p, prefix+"*"))
		if err != nil {
			return found{}, fmt.Errorf("look for traces: %w", err)
		}
		if slices.Contains(points, p) {
			f.cgroups = append(f.cgroups, matches...)
		} else {
			f.dirs = append(f.dirs, matches...)
		}
	}
	for _, dir := range append(f.dirs, netns.Path(prefix)) {
		mounts, err := host.Mounts(dir)
		if err != nil {
			return found{}, err
		}
		f.mounts = append(f.mounts, mounts...)
	}
	for _, ns := range f.namespaces {
		mounts, err := host.Mounts(netns.Path(ns))
		if err != nil {
			return found{}, err
		}
		f.mounts = append(f.mounts, mounts...)
	}
	links, err := net.Interfaces()
	errs[2] = err
	for _, l := range links {
		if strings.HasPrefix(l.Name, prefix) {
			f.links = append(f.links, l.Name)
		}
	}
	f.processes = processes(f)
	return f, errors.Join(errs[:]...)
}

// processes finds those that sit in one of f's cgroups or network namespaces.
func processes(f found) []int {
	inside := map[int]bool{}
	for _, dir := range f.cgroups {
		for _, pid := range members(dir) {
			inside[pid] = true
		}
	}
	spaces := map[uint64]bool{}
	for _, ns := range f.namespaces {
		var st unix.Stat_t
		if unix.Stat(netns.Path(ns), &st) == nil {
			spaces[st.Ino] = true
		}
	}
	all, err := filepath.Glob("/proc/[0-9]*/ns/net")
	if err != nil {
		return nil // only a bad pattern does that
	}
	for _, path := range all {
		var st unix.Stat_t
		var pid int
		if unix.Stat(path, &st) != nil || !spaces[st.Ino] {
			continue
		}
		if _, err := fmt.Sscanf(path, "/proc/%d/ns/net", &pid); err == nil {
			inside[pid] = true
		}
	}
	return slices.Sorted(maps.Keys(inside))
}

func base(paths []string) []string {
	var out []string
	for _, p := range paths {
		out = append(out, filepath.Base(p))
	}
	return out
}
