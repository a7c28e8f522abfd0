package guide_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/joinery/joinery/docs/guide"
)

const document = "# Path\n" + // line 1
	"```sh on=admin\n" +
	"kubectl get nodes\n" +
	"```\n" +
	"One sees:\n" +
	"```text\n" +
	"NAME …\n" +
	"```\n" +
	"- in a list\n" +
	"  ```sh on=master1,admin within=2m\n" + // line 10
	"  echo one\n" +
	"    echo two\n" +
	"  ```\n" +
	"  ```text\n" +
	"  two\n" +
	"  ```\n" +
	"```yaml\n" +
	"kind: Example\n" +
	"```\n" +
	"```sh off=\"no China here\" test=deploy/iam.TestGolden\n" + // line 20
	"aws --region cn-north-1\n" +
	"```\n"

func TestParse(t *testing.T) {
	got, err := guide.Parse("g.md", document)
	if err != nil {
		t.Fatal(err)
	}
	want := []guide.Block{
		{File: "g.md", Line: 2, On: []string{"admin"}, Script: "kubectl get nodes\n", Want: "NAME …\n"},
		{File: "g.md", Line: 10, On: []string{"master1", "admin"}, Within: 2 * time.Minute, Script: "echo one\n  echo two\n", Want: "two\n"},
		{File: "g.md", Line: 20, Off: "no China here", Test: "deploy/iam.TestGolden", Script: "aws --region cn-north-1\n"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A changed command in the document changes what is run.
func TestParseFollowsTheText(t *testing.T) {
	blocks, err := guide.Parse("g.md", strings.Replace(document, "kubectl get nodes", "kubectl get pods", 1))
	if err != nil {
		t.Fatal(err)
	}
	if got := blocks[0].Script; got != "kubectl get pods\n" {
		t.Errorf("runs %q", got)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"no place", "\n```sh\nls\n```\n", "g.md:2: the block has no place"},
		{"off without a test", "```sh off=\"why\"\nls\n```\n", "g.md:1: off without test"},
		{"test without a name", "```sh off=x test=deploy/iam\nls\n```\n", `test="deploy/iam": expected directory.TestName`},
		{"on and off", "```sh on=a off=b test=c.TestD\nls\n```\n", "on and off"},
		{"twice", "```sh on=a on=b\nls\n```\n", "on is given twice"},
		{"unknown", "```sh on=a as=root\nls\n```\n", "as is not known"},
		{"no pair", "```sh on=a root\nls\n```\n", `"root": expected key=value`},
		{"no time", "```sh on=a within=soon\nls\n```\n", `within="soon"`},
		{"time for nothing", "```sh on=a within=1m\nls\n```\n", "g.md:1: within=1m0s: expected a block ```text"},
		{"another shell", "```bash\nls\n```\n", `a block of "bash": expected sh`},
		{"open", "```sh on=a\nls\n", "g.md:1: the fence is not closed"},
		{"expectation of nothing", "```text\nx\n```\n", "g.md:1: an expectation (text) of no block"},
		{"expectation in another section", "```sh on=a\nls\n```\n## Next\n```text\nx\n```\n", "g.md:5: an expectation"},
		{"two expectations", "```sh on=a\nls\n```\n```text\nx\n```\n```text\ny\n```\n", "g.md:7: an expectation"},
		{"vague", "```sh on=a\nls\n```\n```text\n…\n … …\n```\n", "g.md:4: the expectation is met by anything"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := guide.Parse("g.md", tt.text)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestParseListsAllProblems(t *testing.T) {
	_, err := guide.Parse("g.md", "```sh\nls\n```\n```sh on=a as=b\nls\n```\n")
	if err == nil || !strings.Contains(err.Error(), "g.md:1: ") || !strings.Contains(err.Error(), "g.md:4: ") {
		t.Errorf("got %v", err)
	}
}

// FuzzParse: whatever is read, a document without an error has no block that would be
// passed over in silence.
func FuzzParse(f *testing.F) {
	f.Add(document)
	f.Add("```sh on=,\nls\n```\n")
	f.Fuzz(func(t *testing.T, text string) {
		blocks, err := guide.Parse("g.md", text)
		if err != nil {
			return
		}
		for _, b := range blocks {
			if (len(b.On) == 0) == (b.Off == "") || b.Off != "" && b.Test == "" {
				t.Errorf("%+v", b)
			}
		}
	})
}
