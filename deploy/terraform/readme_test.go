package terraform_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every variable, field of a group and output is described.
func TestReadmeIsComplete(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for pattern, find := range map[string]*regexp.Regexp{
		"variables*.tf":       regexp.MustCompile(`(?m)^variable "(\w+)"`),
		"variables_groups.tf": regexp.MustCompile(`(?m)^ {4}(?:  )?(\w+) += (?:optional|string|number|list)`),
		"outputs.tf":          regexp.MustCompile(`(?m)^output "(\w+)"`),
	} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		n := 0
		for _, file := range files {
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range find.FindAllStringSubmatch(string(source), -1) {
				n++
				described := strings.Contains(string(text), "`"+m[1]+"`") || strings.Contains(string(text), ", "+m[1]) || strings.Contains(string(text), "{"+m[1])
				if !described {
					t.Errorf("%s: %s is not in README.md", file, m[1])
				}
			}
		}
		if n < 8 {
			t.Errorf("%s: only %d found", pattern, n)
		}
	}
}

// What the README shows can be planned.
func TestReadmeExample(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(text), "```hcl\n")
	example, _, found := strings.Cut(example, "```")
	here, err := os.Getwd()
	if err != nil || !found {
		t.Fatal("no example: ", err)
	}
	dir := t.TempDir()
	source, err := filepath.Rel(dir, here)
	if err != nil {
		t.Fatal(err)
	}
	example = regexp.MustCompile(`git::https://[^"]+//deploy/terraform`).ReplaceAllString(example, source)
	if err := os.WriteFile(filepath.Join(dir, "main.tf"), []byte(example), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newEngine(t).apply(t, dir, nil)
	if n := len(s.resources("aws_autoscaling_group")); n != 1 {
		t.Errorf("%d groups", n)
	}
}
