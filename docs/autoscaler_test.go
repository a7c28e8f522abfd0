package docs_test

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/api/v1alpha1"
)

// row is one of a table in cluster-autoscaler.md: cells without their code marks.
type row struct {
	line  string
	cells []string
}

// rowsOf returns the rows whose first cell is code, of the page.
func rowsOf(t *testing.T) (flags, names []row) {
	t.Helper()
	text, err := os.ReadFile("cluster-autoscaler.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		r := row{line: strings.TrimSpace(line)}
		for _, cell := range strings.Split(strings.Trim(r.line, "|"), " | ") {
			r.cells = append(r.cells, strings.Trim(strings.TrimSpace(cell), "`"))
		}
		if strings.HasPrefix(r.cells[0], "--") {
			flags = append(flags, r)
		} else {
			names = append(names, r)
		}
	}
	return flags, names
}

// settingAt returns what stands at a path such as spec.autoscaler.resync after the
// defaults were set.
func settingAt(c *v1alpha1.ControllerConfig, path string) (reflect.Value, bool) {
	v := reflect.ValueOf(c.Spec)
	for _, name := range strings.Split(path, ".")[1:] {
		for v.Kind() == reflect.Pointer {
			v = v.Elem()
		}
		field := -1
		for i := range v.NumField() {
			if tag, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ","); tag == name {
				field = i
			}
		}
		if field < 0 {
			return v, false
		}
		v = v.Field(field)
	}
	for v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	return v, true
}

// written writes a setting as Cluster Autoscaler writes a flag's default.
func written(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case metav1.Duration:
		text := x.Duration.String()
		for _, zero := range []string{"m0s", "h0m"} {
			if strings.HasSuffix(text, zero) {
				text = strings.TrimSuffix(text, zero[1:])
			}
		}
		return text
	case v1alpha1.Discovery:
		return "" // a flag with no default that means "as the flags say"
	}
	if v.Kind() == reflect.Slice && v.Len() == 0 || v.Kind() == reflect.String && v.Len() == 0 {
		return ""
	}
	return fmt.Sprint(v.Interface())
}

// Every flag of Cluster Autoscaler is on the page once, and what the page says of
// settings is so.
func TestFlagsOfClusterAutoscaler(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "cluster-autoscaler-flags.txt"))
	if err != nil {
		t.Fatal(err)
	}
	config, err := v1alpha1.DecodeControllerConfig([]byte("apiVersion: joinery.dev/v1alpha1\nkind: ControllerConfig\nspec: {cluster: demo, endpoint: 'api:6443'}\n"))
	if err != nil {
		t.Fatal(err)
	}
	flags, _ := rowsOf(t)
	var got []string
	for _, r := range flags {
		if len(r.cells) != 5 {
			t.Errorf("%d cells, want 5: %s", len(r.cells), r.line)
			continue
		}
		got = append(got, strings.TrimPrefix(r.cells[0], "--"))
		checkFlag(t, config, r)
	}
	slices.Sort(got)
	if want := strings.Fields(string(text)); !slices.Equal(got, want) {
		t.Errorf("the page has %q\nCluster Autoscaler has %q", got, want)
	}
}

func checkFlag(t *testing.T, config *v1alpha1.ControllerConfig, r row) {
	t.Helper()
	byDefault, how, here := r.cells[1], r.cells[2], r.cells[3]
	if !slices.Contains([]string{"same", "other", "none"}, how) || how == "same" && here == "" || how == "none" && here != "" {
		t.Errorf("expected same with a setting, other, or none without one: %s", r.line)
	}
	if here == "" {
		return
	}
	v, ok := settingAt(config, here)
	if !ok {
		t.Errorf("no setting %s: %s", here, r.line)
		return
	}
	if got := written(v); how == "same" && got != byDefault {
		t.Errorf("%s is %q by default, not %q: %s", here, got, byDefault, r.line)
	}
}

// product returns the Go code of what is shipped, without tests.
func product(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, dir := range []string{"agent", "api", "autoscaler", "controlplane", "internal"} {
		err := filepath.WalkDir(filepath.Join("..", dir), func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			all.Write(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all.String()
}

// known are the strings of Cluster Autoscaler's that code has.
var known = regexp.MustCompile(`"((?:[a-z-]+\.)?cluster-autoscaler\.kubernetes\.io/[a-z-]*|k8s\.io/cluster-autoscaler[a-z/-]*|[A-Za-z]+ClusterAutoscaler)"`)

// What the page calls known is in the code, and what it calls none has no meaning there.
func TestStringsOfClusterAutoscaler(t *testing.T) {
	code := product(t)
	_, names := rowsOf(t)
	var page []string
	for _, r := range names {
		if len(r.cells) < 2 {
			t.Errorf("%d cells: %s", len(r.cells), r.line)
			continue
		}
		name := strings.TrimSuffix(r.cells[0], "<cluster>")
		page = append(page, name)
		// Names are put together from prefixes: each row is found by its last part.
		in := strings.Contains(code, `"`+name+`"`) || strings.Contains(code, `"`+strings.TrimPrefix(name, "k8s.io/cluster-autoscaler/")+`"`)
		if last := name[strings.LastIndex(strings.TrimSuffix(name, "/"), "/")+1:]; !in && strings.Contains(name, "node-template/") {
			in = strings.Contains(code, `"`+last+`"`)
		}
		if want := r.cells[1] != "none"; in != want {
			t.Errorf("in the code: %t: %s", in, r.line)
		}
	}
	for _, m := range known.FindAllStringSubmatch(code, -1) {
		if !slices.ContainsFunc(page, func(name string) bool { return strings.HasPrefix(name, m[1]) || strings.HasPrefix(m[1], name) }) {
			t.Errorf("the page does not tell of %q", m[1])
		}
	}
}
