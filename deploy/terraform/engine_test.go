// Package terraform_test evaluates the module with OpenTofu, which runs check/provider
// in place of the AWS provider.
package terraform_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// engine is OpenTofu and its configuration.
type engine struct{ tofu, config string }

// ready builds both programs once; Go caches them. Cold, OpenTofu takes minutes to
// compile: make test does that before any test's time runs.
var ready = sync.OnceValues(func() (engine, error) {
	dir, err := os.MkdirTemp("", "joinery-terraform-")
	if err != nil {
		return engine{}, err
	}
	kept = dir
	if err := readSources(); err != nil {
		return engine{}, err
	}
	tofu, err := goCommand("tool", "-n", "tofu")
	if err != nil {
		return engine{}, err
	}
	if _, err := goCommand("build", "-o", filepath.Join(dir, "terraform-provider-aws"), "./provider"); err != nil {
		return engine{}, err
	}
	e := engine{tofu: tofu, config: filepath.Join(dir, "tofurc")}
	// Nothing is looked for anywhere else: what is not overridden cannot be installed.
	text := fmt.Sprintf("provider_installation {\n  dev_overrides {\n    \"hashicorp/aws\" = %q\n  }\n}\n", dir)
	return e, os.WriteFile(e.config, []byte(text), 0o600)
})

// kept is the directory of the programs' files.
var kept string

func TestMain(m *testing.M) {
	code := m.Run()
	if kept != "" {
		_ = os.RemoveAll(kept) // of no use to anyone else, and below the system's own
	}
	os.Exit(code)
}

// readSources opens what OpenTofu and the compiler read. Go's cache of test results sees
// what a test opens, and not what programs do that it starts.
func readSources() error {
	return filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		_, err = os.ReadFile(path)
		return err
	})
}

// goCommand runs the go command in the module of the tools, with the flags of the
// Makefile, so that what it caches is found again.
func goCommand(args ...string) (string, error) {
	cmd := exec.Command("go", args...)
	cmd.Dir = "check"
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0", "GOFLAGS=-trimpath -buildvcs=false")
	var trouble bytes.Buffer
	cmd.Stderr = &trouble
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w: %s", strings.Join(args, " "), err, trouble.String())
	}
	return strings.TrimSpace(string(out)), nil
}

func newEngine(t *testing.T) engine {
	t.Helper()
	e, err := ready()
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// run runs OpenTofu on a directory, with its own files in data. It returns what was
// printed, both streams, and an error if OpenTofu failed.
func (e engine) run(data, dir string, args ...string) (string, error) {
	cmd := exec.Command(e.tofu, append([]string{"-chdir=" + dir}, args...)...)
	cmd.Env = append(cmd.Environ(), "TF_CLI_CONFIG_FILE="+e.config, "TF_DATA_DIR="+data, "TF_IN_AUTOMATION=1", "CHECKPOINT_DISABLE=1", "TF_CLI_ARGS=")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return "", err
	}
	return string(out), err
}

// variables writes a file of variables.
func variables(t *testing.T, values map[string]any) string {
	t.Helper()
	if values == nil {
		values = map[string]any{}
	}
	text, err := json.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "variables.tfvars.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// callers writes a directory that calls the module once for each case, each in a file
// of the case's name, and puts out what the modules do. One run evaluates them all.
func callers(t *testing.T, cases map[string]map[string]any) string {
	t.Helper()
	dir := t.TempDir()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	source, err := filepath.Rel(dir, here)
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range cases {
		call := map[string]any{"source": source}
		for k, v := range values {
			call[k] = v
		}
		text, err := json.Marshal(map[string]any{
			"module": map[string]any{name: call},
			"output": map[string]any{name: map[string]any{"value": "${module." + name + ".user_data}"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name+".tf.json"), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// complaints are OpenTofu's errors by the file that each is about. OpenTofu breaks lines,
// and frames them.
func complaints(out string) map[string][]string {
	found := map[string][]string{}
	for _, text := range strings.Split(out, "\nError: ")[1:] {
		text = strings.Join(strings.Fields(strings.ReplaceAll(text, "│", " ")), " ")
		_, file, _ := strings.Cut(text, " on ")
		file, _, _ = strings.Cut(file, ".tf")
		found[file] = append(found[file], text)
	}
	return found
}

// state is what apply left, as OpenTofu shows it.
type state struct {
	Values struct {
		Outputs    map[string]struct{ Value any }
		RootModule module `json:"root_module"`
	}
}

type module struct {
	Resources    []resource
	ChildModules []module `json:"child_modules"`
}

type resource struct {
	Address, Mode, Type string
	Values              map[string]any
}

// applied are the states of directories, by their names and variables: several tests
// look at the same one.
var applied = map[string]state{}

// apply evaluates a directory to its end and returns the state.
func (e engine) apply(t *testing.T, dir string, values map[string]any) state {
	t.Helper()
	key := fmt.Sprint(dir, values)
	if s, ok := applied[key]; ok {
		return s
	}
	data := t.TempDir()
	file := filepath.Join(data, "state")
	for _, args := range [][]string{
		{"get", "-no-color"},
		{"apply", "-no-color", "-input=false", "-auto-approve", "-state=" + file, "-backup=-", "-var-file=" + variables(t, values)},
	} {
		if out, err := e.run(data, dir, args...); err != nil {
			t.Fatalf("%s %v: %v\n%s", dir, args, err, out)
		}
	}
	out, err := e.run(data, dir, "show", "-no-color", "-json", file)
	if err != nil {
		t.Fatalf("show: %v\n%s", err, out)
	}
	// OpenTofu warns first that a provider is overridden.
	_, text, _ := strings.Cut(out, `{"format_version"`)
	var s state
	if err := json.Unmarshal([]byte(`{"format_version"`+text), &s); err != nil {
		t.Fatalf("decode state: %v\n%s", err, out)
	}
	applied[key] = s
	return s
}

// resources returns those of a type that the state has, in all modules; of every type if
// that is empty.
func (s state) resources(typ string) []resource { return s.Values.RootModule.all(typ) }

func (m module) all(typ string) []resource {
	var out []resource
	for _, r := range m.Resources {
		if r.Mode == "managed" && (typ == "" || r.Type == typ) {
			out = append(out, r)
		}
	}
	for _, c := range m.ChildModules {
		out = append(out, c.all(typ)...)
	}
	return out
}

// text is a value that is a string.
func (r resource) text(attribute string) string {
	s, _ := r.Values[attribute].(string)
	return s
}
