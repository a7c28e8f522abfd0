package image_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/joinery/joinery/lab/image"
)

func TestParseSources(t *testing.T) {
	tests := []struct {
		name   string
		text   string
		deb822 bool
		want   []image.Source
	}{
		{"one line", "deb http://mirror.example/debian bookworm main contrib\n", false,
			[]image.Source{{URI: "http://mirror.example/debian", Suite: "bookworm", Components: []string{"main", "contrib"}}}},
		{"options", "deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/d sid main # why\n", false,
			[]image.Source{{URI: "http://mirror.example/d", Suite: "sid", Components: []string{"main"}}}},
		{"sources, comments and rubbish", "# deb http://x y main\ndeb-src http://x y main\ndeb [broken http://x y main\ndeb http://x\n", false, nil},
		{"stanza", "Types: deb deb-src\n# a remark\nURIs: http://mirror.example/debian\nSuites: bookworm\n bookworm-updates\nComponents: main\n\nTypes: deb-src\nURIs: http://x\nSuites: y\n", true,
			[]image.Source{
				{URI: "http://mirror.example/debian", Suite: "bookworm", Components: []string{"main"}},
				{URI: "http://mirror.example/debian", Suite: "bookworm-updates", Components: []string{"main"}},
			}},
		{"disabled", "Types: deb\nEnabled: no\nURIs: http://x\nSuites: y\nComponents: main\n", true, nil},
		{"no fields", " continued\nnothing\n", true, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := image.ParseSources([]byte(tt.text), tt.deb822); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func FuzzParseSources(f *testing.F) {
	f.Add([]byte("deb [a] http://x y main"), false)
	f.Add([]byte("Types: deb\nURIs: u\nSuites: s\n c\n"), true)
	f.Fuzz(func(t *testing.T, text []byte, deb822 bool) {
		for _, s := range image.ParseSources(text, deb822) {
			if s.URI == "" || s.Suite == "" || strings.ContainsAny(s.URI+s.Suite, " \n") {
				t.Errorf("not a source: %+v", s)
			}
		}
	})
}

func writeTree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestHostMirror(t *testing.T) {
	const release = "NAME=Debian\nVERSION_CODENAME=trixie\n"
	stanza := "Types: deb\nURIs: http://s.example/\nSuites: trixie-security\nComponents: main\n\nTypes: deb\nURIs: %\nSuites: trixie\nComponents: main universe\n"
	tests := []struct {
		name    string
		files   map[string]string
		want    string
		wantErr error
	}{
		{"stanza file", map[string]string{"etc/apt/sources.list.d/a.sources": strings.ReplaceAll(stanza, "%", "http://m.example/")}, "http://m.example/", nil},
		{"list file first", map[string]string{
			"etc/apt/sources.list":             "deb http://l.example/ trixie main",
			"etc/apt/sources.list.d/a.sources": strings.ReplaceAll(stanza, "%", "http://m.example/"),
		}, "http://l.example/", nil},
		{"mirror list", map[string]string{
			"etc/apt/sources.list.d/a.sources": strings.ReplaceAll(stanza, "%", "mirror+file:/etc/apt/mirrors"),
			"etc/apt/mirrors":                  "# ours\nhttp://first.example/\tpriority:1\nhttp://second.example/\n",
		}, "http://first.example/", nil},
		{"another release only", map[string]string{"etc/apt/sources.list": "deb http://l.example/ sid main"}, "", image.ErrNoMirror},
		{"another vendor only", map[string]string{"etc/apt/sources.list": "deb http://l.example/ trixie tools"}, "", image.ErrNoMirror},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.files["etc/os-release"] = release
			got, err := image.HostMirror(writeTree(t, tt.files))
			if !errors.Is(err, tt.wantErr) || got.URI != tt.want {
				t.Errorf("got %q, %v; want %q, %v", got.URI, err, tt.want, tt.wantErr)
			}
		})
	}
}
