package pack_test

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/joinery/joinery/release/pack"
	"github.com/joinery/joinery/release/program"
)

// dangerous is what no script may do: to enable or start what did not run, and to fetch.
var dangerous = regexp.MustCompile(`systemctl[^\n]*\b(enable|start|restart|preset|unmask)\b|curl|wget|apt|dnf|kubeadm|kubectl`)

func TestScripts(t *testing.T) {
	each(t, func(t *testing.T, f pack.Format, name string, c contents) {
		for _, s := range c.scripts {
			cmd := exec.CommandContext(t.Context(), "sh", "-n")
			cmd.Stdin = strings.NewReader(s)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s in\n%s", err, out, s)
			}
			if found := dangerous.FindString(strings.ReplaceAll(s, "try-restart", "")); found != "" {
				t.Errorf("a script says %q:\n%s", found, s)
			}
			if strings.Contains(s, "{{") || strings.Contains(s, "<no value>") {
				t.Errorf("not filled in:\n%s", s)
			}
		}
		if !strings.Contains(c.scripts[0], "/usr/local/bin/"+name) {
			t.Error("does not warn of a copy in /usr/local/bin")
		}
		if name == program.Operator {
			if c.scripts[1] != "" || c.scripts[2] != "" {
				t.Error("a package without units has scripts for its removal")
			}
			return
		}
		has(t, c.scripts[0], "systemctl daemon-reload", "systemctl try-restart "+name+".service")
		has(t, c.scripts[1], "systemctl stop "+name+".service", "systemctl --quiet disable "+name+".service")
		has(t, c.scripts[2], "systemctl daemon-reload")
		purges := strings.Contains(c.scripts[2], "rm -rf")
		if purges != (f == pack.Deb) {
			t.Errorf("removes state: %t", purges)
		}
	})
}

func has(t *testing.T, script string, commands ...string) {
	t.Helper()
	for _, c := range commands {
		if !strings.Contains(script, c) {
			t.Errorf("lacks %q:\n%s", c, script)
		}
	}
}
