package systemd_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/joinery/joinery/systemd"
)

// exposures are what systemd-analyze security says of each service at most, by
// systemd 252: 0 is closed, 10 is open. What is relaxed says why in the unit.
var exposures = map[string]float64{
	systemd.Controller:  1.4,
	systemd.Credentials: 0.9,
	systemd.Agent:       2.6,
}

func TestServicesAreAsClosedAsTheySay(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("systemd-analyze is not installed: units cannot be examined")
		}
		t.Log("left out: systemd-analyze is not installed")
		return
	}
	for name, most := range exposures {
		text, err := systemd.Unit(name)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, program.ReplaceAll(text, []byte("ExecStart=/bin/true")), 0o644); err != nil {
			t.Fatal(err)
		}
		// The threshold is in tenths.
		threshold := strconv.Itoa(int(most*10 + 0.5))
		cmd := exec.Command(analyze, "security", "--offline=true", "--no-pager", "--threshold="+threshold, file)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s is more exposed than %.1f: %v\n%s", name, most, err, open(string(out)))
		}
	}
}

// open are the lines of what is not closed.
func open(out string) string {
	var b strings.Builder
	for line := range strings.Lines(out) {
		if strings.Contains(line, "✗") || strings.Contains(line, "Overall") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// What keeps the controller from the cluster's keys is in no score.
func TestTheControllerCannotReachTheClustersKeys(t *testing.T) {
	text, err := systemd.Unit(systemd.Controller)
	if err != nil {
		t.Fatal(err)
	}
	settings := map[string][]string{}
	for line := range strings.Lines(string(text)) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(k, "#") {
			settings[k] = append(settings[k], strings.Fields(v)...)
		}
	}
	has := func(key string, values ...string) {
		t.Helper()
		for _, v := range values {
			if all, _ := json.Marshal(settings[key]); !strings.Contains(string(all), strconv.Quote(v)) {
				t.Errorf("%s=%s lacks %s", key, all, v)
			}
		}
	}
	has("DynamicUser", "yes")
	has("InaccessiblePaths", "-/etc/kubernetes", "-/var/lib/etcd", "-/var/lib/kubelet")
	has("BindReadOnlyPaths", "/etc/joinery/private/controller")
	has("TemporaryFileSystem", "/etc/joinery/private:ro,mode=0755")
	if len(settings["CapabilityBoundingSet"]) > 0 {
		t.Errorf("capabilities %v", settings["CapabilityBoundingSet"])
	}
	for _, k := range []string{"MemoryMax", "TasksMax", "SystemCallFilter"} {
		if len(settings[k]) == 0 {
			t.Errorf("no %s", k)
		}
	}
}
