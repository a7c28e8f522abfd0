package guide_test

import (
	"regexp"
	"slices"
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

func TestParseNamesTheChapter(t *testing.T) {
	const block = "```sh on=a\nls\n```\n"
	blocks, err := guide.Parse("g.md", block+"## One\n"+block+"### Part\n"+block+"## Two\n# Not\n"+block)
	var got []string
	for _, b := range blocks {
		got = append(got, b.Chapter)
	}
	if want := []string{"", "One", "One", "Two"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v, want %q", got, err, want)
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
		{"test without off", "```sh on=a test=c.TestD\nls\n```\n", "g.md:1: test without off"},
		{"no reason", "```sh on=a off=\" \"\nls\n```\n", `g.md:1: off=" "`},
		{"empty place", "```sh on=a,,b\nls\n```\n", `g.md:1: on="a,,b": expected places with a comma between, and "" is none`},
		{"place in capitals", "```sh on=Admin\nls\n```\n", `g.md:1: on="Admin"`},
		{"nothing to run", "```sh on=a\n```\n", "g.md:1: the block has no command"},
		{"nothing but a comment", "```sh on=a\n\n  # later\n```\n", "g.md:1: the block has no command"},
		{"an expectation with a place", "```sh on=a\nls\n```\n```text on=a\nx\n```\n", `g.md:4: "on=a": expected it in blocks of sh alone`},
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

// What a reader takes for a block of shell, or what hides the next one, is an error and
// never passed over.
func TestParseRefusesOtherForms(t *testing.T) {
	const good = "```sh on=b\ngood\n```\n"
	for name, first := range map[string]string{
		"tildes":                     "~~~sh on=a\nls\n~~~\n",
		"tildes after backticks":     "```sh ~~~\nls\n```\n",
		"tab before the fence":       "\t```sh on=a\n\tls\n\t```\n",
		"tab in a list":              "- \t```sh on=a\n\tls\n\t```\n",
		"four blanks":                "    ```sh on=a\n    ls\n    ```\n",
		"hard blank":                 "\u00a0```sh on=a\nls\n```\n",
		"quotation":                  "> ```sh on=a\n> ls\n> ```\n",
		"list":                       "- ```sh on=a\n  ls\n  ```\n",
		"list of numbers":            "1. ```sh on=a\n   ls\n   ```\n",
		"list of stars":              "* ```sh on=a\n  ls\n  ```\n",
		"footnote":                   "[^1]: ```sh on=a\n    ls\n    ```\n",
		"capital":                    "```Sh on=a\nls\n```\n",
		"class":                      "```{.sh}\nls\n```\n",
		"bash":                       "```bash\nls\n```\n",
		"session":                    "```shell-session\nls\n```\n",
		"no language":                "```\nls\n```\n",
		"attributes alone":           "```on=a\nls\n```\n",
		"inline":                     "```rm x```\n",
		"inline in a sentence":       "Give ```rm x``` now.\n",
		"four backticks":             "````sh on=a\nls\n````\n",
		"within":                     "```sh on=a\nls\n```sh on=c\nls\n```\n",
		"closed by four":             "```sh on=a\nls\n````\n",
		"closed in a quotation":      "```sh on=a\nls\n> ```\n",
		"closed outside its list":    "  ```sh on=a\n  ls\n```\n",
		"continued outside its list": "  ```sh on=a\n ls\n  ```\n",
		"carriage return":            "text\r```sh on=a\rls\r```\n",
		"comment":                    "<!--\n```sh on=a\nls\n```\n-->\n",
		"comment in a sentence":      "Now <!--\n```sh on=a\nls\n```\n-->\n",
		"comment in a list":          "1. <!--\n```sh on=a\nls\n```\n-->\n",
		"raw text":                   "<pre>\n```sh on=a\nls\n```\n</pre>\n",
	} {
		for _, text := range []string{first, first + good} {
			_, err := guide.Parse("g.md", "\n"+text)
			if err == nil || !regexp.MustCompile(`(?m)^g\.md:[2-5]: `).MatchString(err.Error()) {
				t.Errorf("%s: %q: %v", name, text, err)
			}
		}
	}
}

// A block after one that is wrong is read as it would be alone.
func TestParseGoesOn(t *testing.T) {
	for _, first := range []string{"```rm x```\n", "~~~sh on=a\nls\n~~~\n", "- ```sh on=a\n  ls\n  ```\n", "```sh on=a\nls\n", "````sh on=a\nls\n````\n"} {
		blocks, err := guide.Parse("g.md", first+"```sh on=b\ngood\n```\n")
		if err == nil || len(blocks) == 0 || blocks[len(blocks)-1].Script != "good\n" {
			t.Errorf("%q: %+v, %v", first, blocks, err)
		}
	}
}

// Any blanks are between the parts of an info string, as in Markdown.
func TestParseTakesTabs(t *testing.T) {
	blocks, err := guide.Parse("g.md", "```sh\ton=a \t within=1m\t\nls\n``` \t\n```text\nx\n```\n")
	if err != nil || len(blocks) != 1 || blocks[0].Within != time.Minute || !slices.Equal(blocks[0].On, []string{"a"}) {
		t.Errorf("%+v, %v", blocks, err)
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
	for _, seed := range []string{
		"```sh on=,\nls\n```\n", "```sh\ton=a\nls\n```\n", "~~~sh on=a\nls\n~~~\n", "- ```sh on=a\n  ls\n  ```\n",
		"````sh on=a\nls\n````\n", "```rm x```\n```sh on=a\nls\n```\n", "```Sh on=a\nls\n```\n", "<!--\n```sh on=a\nls\n```\n-->\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		blocks, err := guide.Parse("g.md", text)
		if err != nil {
			return
		}
		for _, b := range blocks {
			if (len(b.On) == 0) == (b.Off == "") || (b.Off == "") != (b.Test == "") || slices.Contains(b.On, "") || strings.TrimSpace(b.Script) == "" {
				t.Errorf("%+v", b)
			}
		}
		if begun := shellFence.FindAllString(text, -1); len(begun) != len(blocks) {
			t.Errorf("%d blocks of %q", len(blocks), begun)
		}
	})
}

// shellFence is a line that could begin a block of any shell.
var shellFence = regexp.MustCompile("(?im)^.*(```|~~~).*sh.*$")
