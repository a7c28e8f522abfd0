package terraform_test

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/joinery/joinery/internal/golden"
)

// The policies here are those of deploy/iam: one truth, copied because a module that
// was fetched alone has no other directory.
func TestPoliciesAreCurrent(t *testing.T) {
	files, err := filepath.Glob("policies/*.tftpl")
	if err != nil || len(files) != 7 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join("..", "iam", strings.TrimSuffix(filepath.Base(file), ".tftpl")))
		if err != nil {
			t.Fatal(err)
		}
		golden.Check(t, file, string(text))
	}
}

// Everything that each example makes, and everything that it puts out, is in view.
func TestRenderings(t *testing.T) {
	for _, example := range []string{"one-cluster", "several-clusters", "from-the-recipe"} {
		t.Run(example, func(t *testing.T) {
			s := newEngine(t).apply(t, filepath.Join("examples", example), nil)
			made := map[string]any{}
			for _, r := range s.resources("") {
				made[r.Address] = readable(r.Values)
			}
			out := map[string]any{}
			for name, o := range s.Values.Outputs {
				out[name] = readable(o.Value)
			}
			text, err := json.MarshalIndent(map[string]any{"resources": made, "outputs": out}, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			golden.Check(t, filepath.Join("testdata", example+".json"), string(text)+"\n")
		})
	}
}

// readable drops what is not set, takes documents apart, and user data into lines.
func readable(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for name, value := range v {
			if text, ok := value.(string); ok && name == "user_data" {
				value = decoded(text)
			}
			if r := readable(value); r != nil {
				out[name] = r
			}
		}
		if len(out) == 0 {
			return nil
		}
		return out
	case []any:
		var out []any
		for _, value := range v {
			out = append(out, readable(value))
		}
		if out == nil {
			return nil
		}
		return out
	case string:
		return document(v)
	}
	return v
}

func decoded(text string) string {
	if raw, err := base64.StdEncoding.DecodeString(text); err == nil {
		return string(raw)
	}
	return text
}

// document is a JSON text's value, the lines of a text that has several, or the text.
func document(text string) any {
	if strings.HasPrefix(text, "{") {
		var v any
		if json.Unmarshal([]byte(text), &v) == nil {
			return v
		}
	}
	if strings.HasSuffix(text, "\n") {
		return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	}
	return text
}
