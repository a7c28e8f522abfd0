package main

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/apiserver"
	"github.com/joinery/joinery/controlplane/leader"
	"github.com/joinery/joinery/controlplane/progress"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/bubble"
	"github.com/joinery/joinery/lab/simcluster"
)

var update = flag.Bool("update", false, "write docs/metrics.md again; the run then fails")

const metricsPage = "../../docs/metrics.md"

// TestMetricsPageIsWhatIsRegistered keeps docs/metrics.md true. The tests of alerts and
// dashboard (deploy/render) hold every query to that page.
func TestMetricsPageIsWhatIsRegistered(t *testing.T) {
	r := registeredBy(t)
	if len(r.lines) < 30 {
		t.Fatalf("only %d metrics are registered", len(r.lines))
	}
	got := metricsHead + strings.Join(slices.Collect(func(yield func(string) bool) {
		for _, name := range slices.Sorted(maps.Keys(r.lines)) {
			if !yield(r.lines[name]) {
				return
			}
		}
	}), "\n") + "\n"
	if *update {
		if err := os.WriteFile(metricsPage, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		t.Fatal("docs/metrics.md written again")
	}
	want, err := os.ReadFile(metricsPage)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("docs/metrics.md is stale; run go test ./cmd/joinery-controller -update (-have +want):\n%s", diff)
	}
}

const metricsHead = `# Metrics

joinery-controller serves these at ` + "`/metrics`" + `. The page is generated from what it registers, by ` + "`go test ./cmd/joinery-controller -update`" + `. The metrics of the Go runtime and of the process come on top. The agent serves none: it reports on its Node.

| metric | type | labels | meaning |
|---|---|---|---|
`

// registeredBy returns what a controller with everything turned on registers.
func registeredBy(t *testing.T) *recorder {
	t.Helper()
	c, err := v1alpha1.DecodeControllerConfig([]byte(`{apiVersion: joinery.dev/v1alpha1, kind: ControllerConfig, spec: {cluster: demo, endpoint: "api:6443",
approver: {stsProof: off}, lifecycle: {queueURL: "` + someQueue + `"}, bundle: {legacyTokenParameter: jointoken}}}`))
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{Registerer: prometheus.NewRegistry(), t: t, lines: map[string]string{}}
	synctest.Test(t, func(t *testing.T) {
		w := simcluster.New(t, &awssim.World{})
		cfg := w.Config("controller")
		c.Spec.Region, c.Spec.VPCID = cfg.Region, w.VPCID
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		// The board shows services that run.
		board := &progress.Board{}
		watched := board.Watch(leader.Service{Name: "any", Run: func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}}, time.Hour)
		var running sync.WaitGroup
		defer running.Wait()
		defer cancel()
		running.Go(func() { _ = watched.Run(ctx) })
		synctest.Wait()
		registerProcess(r, func() bool { return false }, apiserver.At("client.pem"), &cfg, board)
		p, err := assemble(c.Spec, cfg, w.Client, w.Events, r, w.Log, board, func(context.Context) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		// The autoscaler registers its metrics when it runs.
		running.Go(func() { _ = p.scaler.run(ctx) })
		bubble.Sleep(time.Second) // readers look at times whether they are in step
	})
	return r
}

// recorder keeps a line of the page for each metric that is registered.
type recorder struct {
	prometheus.Registerer
	t  *testing.T
	mu sync.Mutex
	// metric -> its line
	lines map[string]string
}

// Register records the metrics of c.
func (r *recorder) Register(c prometheus.Collector) error {
	r.record(c)
	return r.Registerer.Register(c)
}

// MustRegister is Register for those who expect no error.
func (r *recorder) MustRegister(cs ...prometheus.Collector) {
	for _, c := range cs {
		r.record(c)
	}
	r.Registerer.MustRegister(cs...)
}

var description = regexp.MustCompile(`^Desc\{fqName: ("(?:[^"\\]|\\.)*"), help: ("(?:[^"\\]|\\.)*"), (?:unit: "[^"]*", )?constLabels: \{(.*)\}, variableLabels: \{(.*)\}\}$`)

func (r *recorder) record(c prometheus.Collector) {
	r.mu.Lock()
	defer r.mu.Unlock()
	descs := make(chan *prometheus.Desc, 100)
	c.Describe(descs)
	close(descs)
	kinds := collected(c)
	for d := range descs {
		m := description.FindStringSubmatch(d.String())
		if m == nil {
			r.t.Errorf("not understood: %s", d)
			continue
		}
		name, err1 := strconv.Unquote(m[1])
		help, err2 := strconv.Unquote(m[2])
		if err1 != nil || err2 != nil || help == "" {
			r.t.Errorf("not understood: %s", d)
		}
		labels := slices.DeleteFunc(strings.Split(regexp.MustCompile(`="[^"]*"`).ReplaceAllString(m[3], "")+","+m[4], ","), func(l string) bool { return l == "" })
		slices.Sort(labels)
		line := fmt.Sprintf("| `%s` | %s | %s | %s |", name, kindOf(r.t, c, name, kinds[d.String()]), code(labels), strings.ReplaceAll(help, "|", `\|`))
		if before, twice := r.lines[name]; twice && before != line {
			r.t.Errorf("two metrics of one name:\n%s\n%s", before, line)
		}
		r.lines[name] = line
	}
}

// collected returns the types of the metrics that c shows now, by their descriptions.
func collected(c prometheus.Collector) map[string]string {
	metrics := make(chan prometheus.Metric, 1000)
	c.Collect(metrics)
	close(metrics)
	kinds := map[string]string{}
	for m := range metrics {
		var out dto.Metric
		if m.Write(&out) != nil {
			continue
		}
		switch {
		case out.Counter != nil:
			kinds[m.Desc().String()] = "counter"
		case out.Gauge != nil:
			kinds[m.Desc().String()] = "gauge"
		case out.Histogram != nil:
			kinds[m.Desc().String()] = "histogram"
		}
	}
	return kinds
}

// kindOf returns the type of a metric: what it shows, or what its collector is made for.
// A vector without children behind WrapRegistererWith shows neither; its name does,
// since counters alone end in _total.
func kindOf(t *testing.T, c prometheus.Collector, name, shown string) string {
	if (shown == "counter") != strings.HasSuffix(name, "_total") && shown != "" {
		t.Errorf("%s is a %s: counters alone end in _total", name, shown)
	}
	if shown != "" {
		return shown
	}
	switch c.(type) {
	case *prometheus.CounterVec:
		return "counter"
	case *prometheus.GaugeVec:
		return "gauge"
	case *prometheus.HistogramVec:
		return "histogram"
	}
	if !strings.HasSuffix(name, "_total") {
		t.Errorf("%s: its type is not known", name)
	}
	return "counter"
}

func code(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = "`" + n + "`"
	}
	return strings.Join(quoted, ", ")
}
