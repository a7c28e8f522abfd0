package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cgroup is one machine's control group, which has the same name in every
// hierarchy that the computer mounts. Several machines in one group would put
// their init.scope and system.slice into the same directories.
//
// The group lives as long as one boot. A group that a systemd has run in is no
// good for the next: on cgroup v1 the new one finds paths missing, on cgroup v2
// the group's delegated controllers bar processes from entering it.
type cgroup struct {
	dirs      []string // one per hierarchy
	v2        bool     // the unified hierarchy is the only one
	memoryMiB int      // limit
}

// hierarchies lists the mount points of cgroup hierarchies.
func hierarchies() (points []string, v2 bool, err error) {
	text, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil, false, fmt.Errorf("list cgroup hierarchies: %w", err)
	}
	points, v2 = parseHierarchies(string(text))
	if len(points) == 0 {
		return nil, false, errors.New("list cgroup hierarchies: none is mounted at /sys/fs/cgroup")
	}
	return points, v2, nil
}

func parseHierarchies(mounts string) (points []string, v2 bool) {
	v1 := false
	for line := range strings.Lines(mounts) {
		f := strings.Fields(line)
		if len(f) < 3 || !strings.HasPrefix(f[1], "/sys/fs/cgroup") || (f[2] != "cgroup" && f[2] != "cgroup2") {
			continue
		}
		v1 = v1 || f[2] == "cgroup"
		if !slices.Contains(points, f[1]) {
			points = append(points, f[1])
		}
	}
	return points, len(points) > 0 && !v1
}

// CgroupV1 says that this computer has cgroup v1 hierarchies, which kubeadm's
// SystemVerification and kubelet's defaults refuse.
func CgroupV1() bool {
	_, v2, err := hierarchies()
	return err == nil && !v2
}

// newCgroup describes the group called name; create makes it.
func newCgroup(name string, memoryMiB int) (cgroup, error) {
	points, v2, err := hierarchies()
	if err != nil {
		return cgroup{}, err
	}
	c := cgroup{v2: v2, memoryMiB: memoryMiB}
	for _, p := range points {
		c.dirs = append(c.dirs, filepath.Join(p, name))
	}
	return c, nil
}

// create makes the group in every hierarchy and sets its limits.
func (c cgroup) create() error {
	limit := strconv.Itoa(c.memoryMiB << 20)
	for _, dir := range c.dirs {
		parent := filepath.Dir(dir)
		if c.v2 {
			if err := delegate(parent); err != nil {
				return err
			}
		}
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("make cgroup: %w", err)
		}
		var err error
		switch {
		case c.v2:
			err = put(dir, "memory.max", limit)
		case filepath.Base(parent) == "cpuset":
			err = inheritCpuset(dir)
		case filepath.Base(parent) == "memory":
			err = put(dir, "memory.limit_in_bytes", limit)
		}
		if err != nil {
			return fmt.Errorf("set up cgroup: %w", err)
		}
	}
	return nil
}

// inheritCpuset gives a cgroup v1 cpuset, which starts empty and then takes no
// process, what its parent has, and makes its children do the same.
func inheritCpuset(dir string) error {
	for _, name := range []string{"cpuset.cpus", "cpuset.mems"} {
		value, err := os.ReadFile(filepath.Join(filepath.Dir(dir), name))
		if err != nil {
			return err
		}
		if err := put(dir, name, strings.TrimSpace(string(value))); err != nil {
			return err
		}
	}
	return put(dir, "cgroup.clone_children", "1")
}

// delegate makes the unified hierarchy's root pass its controllers down. Those
// that kubelet cannot do without must be there; cpuset and io may be missing.
func delegate(root string) error {
	for _, controller := range []string{"cpu", "memory", "pids", "cpuset", "io"} {
		err := put(root, "cgroup.subtree_control", "+"+controller)
		if err != nil && controller != "cpuset" && controller != "io" {
			return fmt.Errorf("delegate cgroup controller %s (in a container, its processes must not sit in the root cgroup): %w", controller, err)
		}
	}
	return nil
}

func put(dir, name, value string) error {
	return os.WriteFile(filepath.Join(dir, name), []byte(value), 0o644)
}

// procs lists the files that a process is moved into the group by.
func (c cgroup) procs() []string {
	var out []string
	for _, dir := range c.dirs {
		out = append(out, filepath.Join(dir, "cgroup.procs"))
	}
	return out
}

// kill sends SIGKILL to whatever is left in the group.
func (c cgroup) kill() {
	for _, dir := range c.dirs {
		for _, pid := range members(dir) {
			_ = unix.Kill(pid, unix.SIGKILL) // it may have ended by now
		}
	}
}

// members lists the processes in and below dir.
func members(dir string) []int {
	var pids []int
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != "cgroup.procs" {
			return nil // groups vanish while they are walked
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return nil
		}
		for _, f := range strings.Fields(string(text)) {
			if pid, err := strconv.Atoi(f); err == nil && pid > 0 {
				pids = append(pids, pid)
			}
		}
		return nil
	})
	return pids
}

// remove removes the group with all below, waiting for dying processes.
func (c cgroup) remove(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		var left []string
		for _, dir := range c.dirs {
			left = append(left, rmdirs(dir)...)
		}
		if len(left) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("remove cgroups %s: %w", strings.Join(left, " "), context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// rmdirs removes the directories at and below dir, the deepest first, and
// returns those that stay.
func rmdirs(dir string) []string {
	var dirs, left []string
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, path)
		}
		return nil // groups vanish while they are walked
	})
	slices.Reverse(dirs)
	for _, d := range dirs {
		if err := unix.Rmdir(d); err != nil && !errors.Is(err, unix.ENOENT) {
			left = append(left, d)
		}
	}
	return left
}
