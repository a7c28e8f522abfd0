package main

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// helm runs the program that operators run, with the chart as an argument.
func helm(t *testing.T, program, command string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, append([]string{command}, args...)...)
	cmd.Env = []string{"PATH=/nowhere", "HOME=" + t.TempDir()}
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	err = cmd.Run()
	return out.String(), problems.String(), err
}

func helmProgram(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "tool", "-n", "helm").Output()
	if err != nil {
		t.Fatalf("build helm: %v", err)
	}
	return strings.TrimSpace(string(out))
}

// What the guide's command renders is what the packages of Helm render here.
func TestHelmItselfRendersTheSame(t *testing.T) {
	program, directory := helmProgram(t), filepath.Join(deploy, "chart")
	for _, chosen := range choices() {
		args := []string{"joinery", directory, "--namespace", "kube-system"}
		for _, p := range chosen {
			args = append(args, "--set", p+".enabled=true")
		}
		out, problems, err := helm(t, program, "template", args...)
		if err != nil {
			t.Fatalf("with %s: %v: %s", chosen, err, problems)
		}
		got, err := parse([]byte(out))
		if err != nil {
			t.Fatal(err)
		}
		want, err := plain(chosen)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("with %s (-plain +helm):\n%s", chosen, diff)
		}
	}
}

func TestHelmItselfJudgesTheChart(t *testing.T) {
	program, directory := helmProgram(t), filepath.Join(deploy, "chart")
	if out, problems, err := helm(t, program, "lint", directory, "--strict"); err != nil {
		t.Errorf("lint: %v: %s%s", err, out, problems)
	}
	_, problems, err := helm(t, program, "template", "joinery", directory, "--set", "legacy.on=true")
	if err == nil || !strings.Contains(problems, "values don't meet the specifications of the schema") {
		t.Errorf("an unknown value: %v: %s", err, problems)
	}
}
