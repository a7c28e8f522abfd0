package iam_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// inRow is an action in a row of the table.
var inRow = regexp.MustCompile("(?:\\| |, )`(?:ssm|kms|autoscaling|ec2|sqs|events|iam|sts):[A-Za-z*]+`")

// Each permission is justified beside the documents, under the statement that has it.
func TestEveryPermissionIsJustified(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*.json")
	if err != nil || len(files) < 12 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		_, section, ok := strings.Cut(string(text), "## "+file+":")
		if !ok {
			t.Errorf("%s has no section", file)
			continue
		}
		section, _, _ = strings.Cut(section, "\n## ")
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var p policy
		if err := json.Unmarshal(data, &p); err != nil {
			t.Fatal(err)
		}
		actions := 0
		for _, s := range p.Statement {
			if !strings.Contains(section, "| `"+s.Sid+"` |") {
				t.Errorf("%s: statement %s has no row", file, s.Sid)
			}
			for _, a := range s.Action {
				actions++
				if !strings.Contains(section, "`"+a+"`") {
					t.Errorf("%s: %s is not justified", file, a)
				}
			}
		}
		if n := len(inRow.FindAllString(section, -1)); n != actions {
			t.Errorf("%s: %d actions are justified, the document has %d", file, n, actions)
		}
	}
}
