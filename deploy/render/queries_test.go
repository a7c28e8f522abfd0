package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	grafana "github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"sigs.k8s.io/yaml"
)

func metricsOf(t *testing.T) map[string]metric {
	t.Helper()
	known, err := registered()
	if err != nil {
		t.Fatal(err)
	}
	if len(known) < 30 {
		t.Fatalf("only %d metrics are in %s", len(known), metricsPage)
	}
	return known
}

// alerts are what Prometheus itself reads in the rule file.
func alerts(t *testing.T) []rulefmt.Rule {
	t.Helper()
	groups, errs := rulefmt.ParseFile(filepath.Join(deploy, rulesFile), false, model.LegacyValidation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	var all []rulefmt.Rule
	for _, g := range groups.Groups {
		all = append(all, g.Rules...)
	}
	if len(all) < 25 {
		t.Fatalf("only %d alerts", len(all))
	}
	return all
}

var (
	shownLabel = regexp.MustCompile(`\$labels\.(\w+)`)
	anySeries  = regexp.MustCompile(`\bjoinery_[a-z_]+\b`)
	legendName = regexp.MustCompile(`\{\{\s*(\w+)\s*\}\}`)
)

func TestAlertsReadMetricsThatThereAre(t *testing.T) {
	known := metricsOf(t)
	for _, r := range alerts(t) {
		problems, labelled := judge(known, r.Expr)
		for text := range strings.SplitSeq(r.Annotations["summary"]+"\n"+r.Annotations["description"], "\n") {
			for _, m := range shownLabel.FindAllStringSubmatch(text, -1) {
				problems = append(problems, missing(m[1:], labelled, "the text shows")...)
			}
			for _, name := range anySeries.FindAllString(text, -1) {
				if _, ok := known[name]; !ok {
					problems = append(problems, "the text names "+name)
				}
			}
		}
		for _, p := range problems {
			t.Errorf("%s: %s", r.Alert, p)
		}
	}
}

var inlineCode = regexp.MustCompile("`([^`]+)`")

// Queries that a runbook gives are queries, of metrics that there are.
func TestRunbooksQueryMetricsThatThereAre(t *testing.T) {
	known := metricsOf(t)
	pages, err := filepath.Glob("../../docs/runbooks/*.md")
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, name := range pages {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range inlineCode.FindAllStringSubmatch(string(text), -1) {
			if _, bare := known[m[1]]; bare || !strings.Contains(m[1], "joinery_") {
				continue
			}
			checked++
			problems, _ := judge(known, m[1])
			for _, p := range problems {
				t.Errorf("%s: %s: %s", name, m[1], p)
			}
		}
	}
	if checked < 5 {
		t.Errorf("only %d queries checked", checked)
	}
}

// What the operator of Prometheus is given is what the rule file says, in its own type.
func TestRuleObjectIsTheRuleFile(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(deploy, ruleObject))
	if err != nil {
		t.Fatal(err)
	}
	var o monitoringv1.PrometheusRule
	if err := yaml.UnmarshalStrict(text, &o); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, g := range o.Spec.Groups {
		for _, r := range g.Rules {
			got = append(got, r.Alert+": "+r.Expr.String())
		}
	}
	var want []string
	for _, r := range alerts(t) {
		want = append(want, r.Alert+": "+r.Expr)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q\nexpected %q", got, want)
	}
}

// grafanaPanels are the dashboard's panels as Grafana's own types have them, decoded
// strictly: a field that Grafana does not know is an error.
func grafanaPanels(t *testing.T) []grafana.Panel {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(deploy, dashboardFile))
	if err != nil {
		t.Fatal(err)
	}
	kinds := cog.NewRuntime()
	kinds.RegisterPanelcfgVariant(stat.VariantConfig())
	kinds.RegisterPanelcfgVariant(table.VariantConfig())
	kinds.RegisterPanelcfgVariant(timeseries.VariantConfig())
	kinds.RegisterDataqueryVariant(prometheus.VariantConfig())
	// The strict decoder returns an empty list of errors where there is none, and leaves
	// out what it has checked: the panels come from the other one.
	var problems cog.BuildErrors
	if err := new(grafana.Dashboard).UnmarshalJSONStrict(text); !errors.As(err, &problems) || len(problems) > 0 {
		t.Fatal(err)
	}
	var d grafana.Dashboard
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	if err := d.Validate(); err != nil {
		t.Error(err)
	}
	var out []grafana.Panel
	for _, p := range d.Panels {
		if p.Panel != nil {
			out = append(out, *p.Panel)
		}
	}
	if len(out) < 30 {
		t.Fatalf("only %d panels", len(out))
	}
	return out
}

func TestPanelsReadMetricsThatThereAre(t *testing.T) {
	known := metricsOf(t)
	fill := strings.NewReplacer("$__rate_interval", "5m", "$job", "prod")
	for _, p := range grafanaPanels(t) {
		for _, target := range p.Targets {
			q, ok := target.(*prometheus.Dataquery)
			if !ok {
				t.Fatalf("%s: a query of type %T", *p.Title, target)
			}
			problems, labelled := judge(known, fill.Replace(q.Expr))
			if !strings.Contains(q.Expr, `job="$job"`) || strings.Count(q.Expr, "joinery_") != strings.Count(q.Expr, `job="$job"`) {
				problems = append(problems, "not each series is of the chosen job")
			}
			if q.LegendFormat != nil {
				for _, m := range legendName.FindAllStringSubmatch(*q.LegendFormat, -1) {
					problems = append(problems, missing(m[1:], labelled, "the legend shows")...)
				}
			}
			for _, problem := range problems {
				t.Errorf("%s: %s: %s", *p.Title, q.Expr, problem)
			}
		}
	}
}

func TestPanelsAreComplete(t *testing.T) {
	titles := map[string]bool{}
	place := map[string]string{}
	for _, p := range grafanaPanels(t) {
		title := *p.Title
		if titles[title] || p.Description == nil || *p.Description == "" || len(p.Targets) == 0 {
			t.Errorf("%s: twice, or without a description, or without a query", title)
		}
		titles[title] = true
		if p.Datasource == nil || p.Datasource.Uid == nil || *p.Datasource.Uid != "${datasource}" {
			t.Errorf("%s: its data source is not the chosen one", title)
		}
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				at := fmt.Sprint(x, "/", y)
				if place[at] != "" || x >= gridWidth {
					t.Errorf("%s lies over %s at %s", title, place[at], at)
				}
				place[at] = title
			}
		}
		unit := unitOf(t, p)
		for _, target := range p.Targets {
			if want := expectedUnit(target.(*prometheus.Dataquery).Expr); unit != want {
				t.Errorf("%s: unit %q, expected %q", title, unit, want)
			}
		}
	}
}

func unitOf(t *testing.T, p grafana.Panel) string {
	t.Helper()
	if p.FieldConfig == nil || p.FieldConfig.Defaults.Unit == nil {
		t.Errorf("%s: no unit", *p.Title)
		return ""
	}
	return *p.FieldConfig.Defaults.Unit
}

// expectedUnit is what the answer to a query is counted in, by the names of its metrics:
// seconds, events a second, or things.
func expectedUnit(expr string) string {
	switch {
	case strings.Contains(expr, "_seconds"):
		return "s"
	case strings.Contains(expr, "rate("):
		return "reqps"
	}
	return "none"
}

// A reader sees every kind of metric that there is.
func TestDashboardLeavesNoMetricOut(t *testing.T) {
	// What is of use in another place, and where.
	elsewhere := map[string]string{
		"joinery_build_info":                              "the version, for a join in a query of one's own",
		"joinery_auto_approval_checked_timestamp_seconds": "an alert",
		"joinery_token_issued_timestamp_seconds":          "an alert",
		"joinery_tokens_deleted_total":                    "follows rotations",
		"joinery_service_round_seconds":                   "for the search for a slow service",
		"joinery_service_last_success_timestamp_seconds":  "joinery_service_progress_age_seconds says it",
		"joinery_queue_messages_total":                    "the queue is optional",
		"joinery_node_labels_set_total":                   "rare",
		"joinery_node_identity_checks_total":              "joinery_nodes says it",
		"joinery_autoscaler_checked_plans_total":          "how often the validator looked",
		"joinery_autoscaler_not_bound_total":              "refused actions; joinery_nodes has the cause",
	}
	text, err := os.ReadFile(filepath.Join(deploy, dashboardFile))
	if err != nil {
		t.Fatal(err)
	}
	for name := range metricsOf(t) {
		shown := regexp.MustCompile(`\b` + name + `(_bucket)?\b`).Match(text)
		if _, known := elsewhere[name]; shown == known {
			t.Errorf("%s: shown %t, listed as elsewhere %t", name, shown, known)
		}
	}
}

func TestJudgeFindsWhatIsWrong(t *testing.T) {
	known := map[string]metric{
		"joinery_a":         {"gauge", []string{"state"}},
		"joinery_b_total":   {"counter", []string{"reason"}},
		"joinery_c_seconds": {"histogram", nil},
	}
	for expr, want := range map[string]string{
		`sum(joinery_a`:                             "unclosed",
		`vector(1)`:                                 "reads no metric",
		`joinery_z`:                                 "no series joinery_z",
		`joinery_c_seconds`:                         "no series joinery_c_seconds",
		`joinery_a_bucket`:                          "no series joinery_a_bucket",
		`joinery_a{reason="x"}`:                     "matched by reason",
		`rate(joinery_a[5m])`:                       "rate of the gauge",
		`sum by (state) (joinery_b_total)`:          "aggregation by state",
		`joinery_a and on (reason) joinery_b_total`: "match on reason",
		`sum by (reason) (sum by (job) (joinery_b_total))`:    "aggregation by reason",
		`histogram_quantile(0.9, sum(joinery_c_seconds_foo))`: "no series",
	} {
		problems, _ := judge(known, expr)
		if !strings.Contains(strings.Join(problems, "; "), want) {
			t.Errorf("%s: %q, expected %q", expr, problems, want)
		}
	}
	for expr, want := range map[string]string{
		`joinery_a{state="x", job="y"}`:                                                  "state job instance",
		`sum by (reason) (rate(joinery_b_total[5m]))`:                                    "reason",
		`time() - max by (job) (joinery_a > 0)`:                                          "job",
		`histogram_quantile(0.9, sum by (job, le) (rate(joinery_c_seconds_bucket[5m])))`: "job",
		`sum by (reason) (joinery_b_total) or joinery_a`:                                 "reason state job instance",
		`absent(joinery_a)`:                                                              "",
	} {
		problems, labelled := judge(known, expr)
		if len(problems) > 0 || strings.Join(labelled, " ") != want {
			t.Errorf("%s: labels %q, %q", expr, labelled, problems)
		}
	}
}
