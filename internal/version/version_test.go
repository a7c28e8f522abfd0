package version_test

import (
	"bytes"
	"encoding/json"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/joinery/joinery/internal/version"
)

func stamped() *debug.BuildInfo {
	return &debug.BuildInfo{
		GoVersion: "go1.26.8",
		Main:      debug.Module{Path: "github.com/joinery/joinery", Version: "v0.3.0"},
		Deps: []*debug.Module{
			{Path: "github.com/spf13/cobra", Version: "v1.10.2"},
			{Path: "k8s.io/client-go", Version: "v0.0.0", Replace: &debug.Module{Path: "k8s.io/client-go", Version: "v0.37.2"}},
			{Path: "k8s.io/klog/v2", Version: "v2.140.0"},
			{Path: "k8s.io/kubernetes", Version: "v1.37.2"},
		},
		Settings: []debug.BuildSetting{
			{Key: "GOARCH", Value: "arm64"}, {Key: "GOOS", Value: "linux"},
			{Key: "vcs.revision", Value: "63fcc01"}, {Key: "vcs.time", Value: "2026-11-30T18:02:00Z"}, {Key: "vcs.modified", Value: "true"},
		},
	}
}

func TestOf(t *testing.T) {
	want := version.Info{
		Version: "v0.3.0", Commit: "63fcc01", CommitTime: "2026-11-30T18:02:00Z", Modified: true, Go: "go1.26.8", Platform: "linux/arm64",
		Kubernetes: map[string]string{"k8s.io/client-go": "v0.37.2", "k8s.io/kubernetes": "v1.37.2"},
	}
	got := version.Of(stamped())
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	const line = "v0.3.0, commit 63fcc01, go1.26.8, linux/arm64, k8s.io/client-go v0.37.2, k8s.io/kubernetes v1.37.2"
	if got.Line() != line {
		t.Errorf("line %q, want %q", got.Line(), line)
	}
}

func TestOfAnUnstampedBuild(t *testing.T) {
	got := version.Of(&debug.BuildInfo{GoVersion: "go1.26.8"})
	if got.Version != "(devel)" || got.Line() != "(devel), go1.26.8" {
		t.Errorf("%+v, line %q", got, got.Line())
	}
}

func run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	root := &cobra.Command{Use: "program", SilenceErrors: true, SilenceUsage: true}
	version.AddTo(root)
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetArgs(args)
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

func TestCommand(t *testing.T) {
	if out, err := run(t, "version"); err != nil || out != version.Version()+"\n" {
		t.Errorf("version prints %q, %v", out, err)
	}
	if out, err := run(t, "--version"); err != nil || out != "program version "+version.Read().Line()+"\n" {
		t.Errorf("--version prints %q, %v", out, err)
	}
	out, err := run(t, "version", "-o", "json")
	if err != nil {
		t.Fatal(err)
	}
	var info version.Info
	d := json.NewDecoder(strings.NewReader(out))
	d.DisallowUnknownFields()
	if err := d.Decode(&info); err != nil || info.Go != runtime.Version() || info.Platform != runtime.GOOS+"/"+runtime.GOARCH {
		t.Errorf("%+v, %v", info, err)
	}
	if _, err := run(t, "version", "-o", "yaml"); err == nil || !strings.Contains(err.Error(), "expected text or json") {
		t.Errorf("-o yaml: %v", err)
	}
}
