package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// metric is one that joinery-controller registers.
type metric struct {
	kind   string
	labels []string
}

// metricsPage is the list of metrics that is generated from the controller.
const metricsPage = "../../docs/metrics.md"

var metricLine = regexp.MustCompile("(?m)^\\| `(joinery_[a-z_]+)` \\| (counter|gauge|histogram) \\| (.*?) \\|")

// registered reads the metrics by name.
func registered() (map[string]metric, error) {
	text, err := os.ReadFile(metricsPage)
	if err != nil {
		return nil, fmt.Errorf("read metrics: %w", err)
	}
	out := map[string]metric{}
	for _, m := range metricLine.FindAllStringSubmatch(string(text), -1) {
		out[m[1]] = metric{m[2], strings.FieldsFunc(m[3], func(r rune) bool { return strings.ContainsRune("`, ", r) })}
	}
	return out, nil
}

// scraped are labels that Prometheus adds.
var scraped = []string{"job", "instance"}

// seriesOf returns the metric of a series by its name, and the labels that the series has.
func seriesOf(known map[string]metric, name string) (metric, []string, bool) {
	if m, ok := known[name]; ok && m.kind != "histogram" {
		return m, slices.Concat(m.labels, scraped), true
	}
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		base, cut := strings.CutSuffix(name, suffix)
		if m, ok := known[base]; cut && ok && m.kind == "histogram" {
			all := slices.Concat(m.labels, scraped)
			if suffix == "_bucket" {
				all = append(all, "le")
			}
			return m, all, true
		}
	}
	return metric{}, nil, false
}

// judge returns what is wrong with a query, and the labels of its answer.
func judge(known map[string]metric, text string) (problems, labelled []string) {
	expr, err := parser.NewParser(parser.Options{}).ParseExpr(text)
	if err != nil {
		return []string{err.Error()}, nil
	}
	reads := 0
	parser.Inspect(expr, func(n parser.Node, path []parser.Node) error {
		switch n := n.(type) {
		case *parser.VectorSelector:
			reads++
			problems = append(problems, judgeSelector(known, n, path)...)
		case *parser.AggregateExpr:
			problems = append(problems, missing(n.Grouping, answerLabels(known, n.Expr), "aggregation by")...)
		case *parser.BinaryExpr:
			if m := n.VectorMatching; m != nil && m.On {
				problems = append(problems, missing(m.MatchingLabels, answerLabels(known, n.LHS), "match on")...)
				problems = append(problems, missing(m.MatchingLabels, answerLabels(known, n.RHS), "match on")...)
			}
		}
		return nil
	})
	if reads == 0 {
		problems = append(problems, "it reads no metric")
	}
	return problems, answerLabels(known, expr)
}

func judgeSelector(known map[string]metric, n *parser.VectorSelector, path []parser.Node) []string {
	m, has, ok := seriesOf(known, n.Name)
	if !ok {
		return []string{"no series " + n.Name}
	}
	var problems []string
	for _, matcher := range n.LabelMatchers {
		if matcher.Name != labels.MetricName {
			problems = append(problems, missing([]string{matcher.Name}, has, n.Name+" matched by")...)
		}
	}
	for _, above := range path {
		call, ok := above.(*parser.Call)
		if ok && slices.Contains([]string{"rate", "irate", "increase"}, call.Func.Name) && m.kind == "gauge" {
			problems = append(problems, call.Func.Name+" of the gauge "+n.Name)
		}
	}
	return problems
}

func missing(want, have []string, what string) []string {
	var out []string
	for _, l := range want {
		if !slices.Contains(have, l) {
			out = append(out, fmt.Sprintf("%s %s: there is only %s", what, l, strings.Join(have, ", ")))
		}
	}
	return out
}

// answerLabels returns the labels that the answer to an expression may have.
func answerLabels(known map[string]metric, e parser.Expr) []string {
	switch e := e.(type) {
	case *parser.VectorSelector:
		_, has, _ := seriesOf(known, e.Name)
		return has
	case *parser.AggregateExpr:
		if !e.Without {
			return e.Grouping
		}
		return slices.DeleteFunc(slices.Clone(answerLabels(known, e.Expr)), func(l string) bool { return slices.Contains(e.Grouping, l) })
	case *parser.BinaryExpr:
		return slices.Concat(answerLabels(known, e.LHS), rightLabels(known, e))
	case *parser.ParenExpr:
		return answerLabels(known, e.Expr)
	case *parser.UnaryExpr:
		return answerLabels(known, e.Expr)
	case *parser.MatrixSelector:
		return answerLabels(known, e.VectorSelector)
	case *parser.SubqueryExpr:
		return answerLabels(known, e.Expr)
	case *parser.Call:
		var all []string
		for _, a := range e.Args {
			all = append(all, answerLabels(known, a)...)
		}
		if e.Func.Name == "histogram_quantile" {
			all = slices.DeleteFunc(all, func(l string) bool { return l == "le" })
		}
		if e.Func.Name == "absent" {
			return nil
		}
		return all
	}
	return nil
}

// rightLabels are those that the right side of an operator adds: of "or" alone, or where
// the left side is a number.
func rightLabels(known map[string]metric, e *parser.BinaryExpr) []string {
	if e.Op == parser.LOR || e.LHS.Type() == parser.ValueTypeScalar {
		return answerLabels(known, e.RHS)
	}
	return nil
}
