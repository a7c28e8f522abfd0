package machine

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// inotifyInstances is how many inotify instances root has to be allowed: the kernel's
// 128 are shared by the init, container runtime, kubelet and agents of all machines,
// and run out at about nine of them.
const inotifyInstances = 4096

const inotifyLimit = "/proc/sys/fs/inotify/max_user_instances"

// allowInotify raises the limit if it is lower. It stays raised: what else runs on
// this computer loses nothing by it, and another run may need it.
func allowInotify() error {
	text, err := os.ReadFile(inotifyLimit)
	if err != nil {
		return fmt.Errorf("read limit of inotify instances: %w", err)
	}
	if have, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && have >= inotifyInstances {
		return nil
	}
	if err := os.WriteFile(inotifyLimit, []byte(strconv.Itoa(inotifyInstances)), 0o644); err != nil {
		return fmt.Errorf("raise limit of inotify instances from %s: %w", strings.TrimSpace(string(text)), err)
	}
	return nil
}
