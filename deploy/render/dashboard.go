package main

import (
	"encoding/json"
	"fmt"
)

// board is a Grafana dashboard as its rows of panels.
type board struct {
	uid, title, description string
	rows                    []row
}

// row is a titled row; its panels share the width.
type row struct {
	title  string
	panels []panel
}

// panel shows the answers to queries. Its kind is a panel plugin of Grafana's: stat,
// timeseries or table.
type panel struct {
	title, kind, unit, description string
	queries                        []query
	// thresholds colour a stat: the value from which on it has the colour. The first
	// one has no value: it is the colour of what is less.
	thresholds []threshold
	// words are shown in place of values, by value.
	words map[string]string
}

type threshold struct {
	colour string
	from   any
}

type query struct{ expr, legend string }

const (
	gridWidth   = 24
	statHeight  = 4
	panelHeight = 8
)

// datasource is what the reader chose at the top of the dashboard.
var datasource = object{"type": "prometheus", "uid": "${datasource}"}

// render returns the dashboard as Grafana's JSON.
func (b board) render() ([]byte, error) {
	var panels []any
	id, y := 0, 0
	for _, r := range b.rows {
		id++
		panels = append(panels, object{"id": id, "type": "row", "title": r.title, "collapsed": false, "panels": []any{}, "gridPos": grid(0, y, gridWidth, 1)})
		y++
		height := r.height()
		width := gridWidth / len(r.panels)
		for i, p := range r.panels {
			id++
			panels = append(panels, p.render(id, grid(i*width, y, width, height)))
		}
		y += height
	}
	text, err := json.MarshalIndent(object{
		"uid": b.uid, "title": b.title, "description": b.description, "tags": []string{"joinery"},
		"schemaVersion": 39, "editable": true, "graphTooltip": 1, "timezone": "browser", "refresh": "30s",
		"time": object{"from": "now-6h", "to": "now"}, "templating": object{"list": variables()},
		"annotations": object{"list": []any{}}, "panels": panels,
	}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write dashboard: %w", err)
	}
	return append(text, '\n'), nil
}

func (r row) height() int {
	for _, p := range r.panels {
		if p.kind != "stat" {
			return panelHeight
		}
	}
	return statHeight
}

func grid(x, y, w, h int) object { return object{"x": x, "y": y, "w": w, "h": h} }

// variables are what a reader chooses: the data source, and the scrape job, which is
// the cluster.
func variables() []any {
	return []any{
		object{"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "multi": false, "includeAll": false, "hide": 0},
		object{"name": "job", "label": "Cluster (scrape job)", "type": "query", "datasource": datasource, "refresh": 2, "sort": 1,
			"definition": jobQuery, "query": object{"qryType": 1, "query": jobQuery, "refId": "job"}, "multi": false, "includeAll": false, "hide": 0},
	}
}

const jobQuery = "label_values(joinery_leader, job)"

func (p panel) render(id int, at object) object {
	targets := make([]any, len(p.queries))
	for i, q := range p.queries {
		targets[i] = object{"refId": string(rune('A' + i)), "datasource": datasource, "expr": q.expr, "legendFormat": q.legend,
			"editorMode": "code", "range": p.kind == "timeseries", "instant": p.kind != "timeseries"}
		if p.kind == "table" {
			targets[i].(object)["format"] = "table"
		}
	}
	return object{
		"id": id, "type": p.kind, "title": p.title, "description": p.description, "datasource": datasource, "gridPos": at, "targets": targets,
		"fieldConfig": object{"defaults": p.defaults(), "overrides": []any{}}, "options": p.options(),
	}
}

func (p panel) defaults() object {
	steps := []any{object{"color": "green", "value": nil}}
	if len(p.thresholds) > 0 {
		steps = nil
		for _, t := range p.thresholds {
			steps = append(steps, object{"color": t.colour, "value": t.from})
		}
	}
	d := object{"unit": p.unit, "thresholds": object{"mode": "absolute", "steps": steps}}
	if p.kind == "stat" {
		d["noValue"] = "none"
	}
	if len(p.words) > 0 {
		shown := object{}
		for value, text := range p.words {
			shown[value] = object{"text": text}
		}
		d["mappings"] = []any{object{"type": "value", "options": shown}}
	}
	return d
}

func (p panel) options() object {
	switch p.kind {
	case "stat":
		return object{"colorMode": "background", "graphMode": "none", "justifyMode": "auto", "orientation": "auto", "textMode": "auto",
			"wideLayout": true, "showPercentChange": false, "percentChangeColorMode": "standard",
			"reduceOptions": object{"calcs": []string{"lastNotNull"}, "fields": "", "values": false}}
	case "table":
		return object{"showHeader": true, "frameIndex": 0}
	}
	return object{"legend": object{"displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": []any{}}, "tooltip": object{"mode": "multi", "sort": "desc"}}
}
