package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// files are the manifests of each optional part that has some of its own.
var files = map[string]string{
	"legacy":  "rbac/optional/legacy/legacy.yaml",
	"metrics": "rbac/optional/metrics/metrics.yaml",
	"alerts":  "alerts/prometheusrule.yaml",
}

// plain returns what "kubectl apply -f" is given, and what "kubectl create configmap
// --from-file" makes of the dashboard.
func plain(chosen []string) ([]object, error) {
	names, err := filepath.Glob(filepath.Join(deploy, "rbac", "*.yaml"))
	if err != nil {
		return nil, fmt.Errorf("list manifests: %w", err)
	}
	for _, p := range chosen {
		if files[p] != "" {
			names = append(names, filepath.Join(deploy, files[p]))
		}
	}
	var all []object
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read manifest: %w", err)
		}
		of, err := parse(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, of...)
	}
	if slices.Contains(chosen, "dashboard") {
		text, err := os.ReadFile(filepath.Join(deploy, dashboardFile))
		if err != nil {
			return nil, fmt.Errorf("read dashboard: %w", err)
		}
		all = append(all, object{"apiVersion": "v1", "kind": "ConfigMap", "data": map[string]any{filepath.Base(dashboardFile): string(text)},
			"metadata": map[string]any{"name": "joinery-dashboard", "namespace": monitoring, "labels": map[string]any{"grafana_dashboard": "1"}}})
	}
	sortByID(all)
	return all, nil
}

// monitoring is the namespace of what Prometheus's operator and Grafana read, unless an
// operator says otherwise.
const monitoring = "monitoring"
