package main

import (
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
)

// chart renders the Helm chart with an operator's values as "helm template" does: its
// defaults, its schema, its templates.
func chart(values map[string]any) ([]object, error) {
	texts, err := templates(values)
	if err != nil {
		return nil, err
	}
	var all []object
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		if path.Ext(name) != ".yaml" {
			continue // notes for a person
		}
		of, err := parse([]byte(texts[name]))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, of...)
	}
	sortByID(all)
	return all, nil
}

// templates renders each template of the chart, by its name.
func templates(values map[string]any) (map[string]string, error) {
	c, err := loader.LoadDir(filepath.Join(deploy, "chart"))
	if err != nil {
		return nil, fmt.Errorf("load chart: %w", err)
	}
	release := chartutil.ReleaseOptions{Name: "joinery", Namespace: "kube-system", Revision: 1, IsInstall: true}
	all, err := chartutil.ToRenderValues(c, values, release, chartutil.DefaultCapabilities)
	if err != nil {
		return nil, fmt.Errorf("values: %w", err)
	}
	texts, err := engine.Engine{Strict: true}.Render(c, all)
	if err != nil {
		return nil, fmt.Errorf("render chart: %w", err)
	}
	maps.DeleteFunc(texts, func(name, _ string) bool { return strings.HasPrefix(path.Base(name), "_") })
	return texts, nil
}
