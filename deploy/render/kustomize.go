package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// components are the directories of the optional parts.
var components = map[string]string{
	"legacy":    "rbac/optional/legacy",
	"metrics":   "rbac/optional/metrics",
	"alerts":    "alerts",
	"dashboard": "dashboard",
}

// kustomize builds the base with the components of the chosen parts, as an overlay of
// an operator's would.
func kustomize(chosen []string) ([]object, error) {
	return overlay(chosen, nil)
}

// overlay is kustomize with further fields of the operator's kustomization.
func overlay(chosen []string, further map[string]any) ([]object, error) {
	all := map[string]any{"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": []string{checkout}}
	var used []string
	for _, p := range chosen {
		used = append(used, checkout+"/"+components[p])
	}
	if len(used) > 0 {
		all["components"] = used
	}
	maps.Copy(all, further)
	text, err := yaml.Marshal(all)
	if err != nil {
		return nil, fmt.Errorf("write the overlay: %w", err)
	}
	return build(text)
}

// checkout is where an operator's kustomization has the manifests.
const checkout = "joinery/deploy"

// build builds an operator's kustomization that has a checkout beside it. All of it is in
// memory: kustomize takes relative paths only, and nothing is written here.
func build(kustomization []byte) ([]object, error) {
	fs := filesys.MakeFsInMemory()
	if err := fs.WriteFile("/kustomization.yaml", kustomization); err != nil {
		return nil, fmt.Errorf("write the overlay: %w", err)
	}
	for _, pattern := range []string{"*.yaml", "rbac/*.yaml", "rbac/optional/*/*.yaml", "alerts/*.yaml", "dashboard/*"} {
		if err := copyFiles(fs, pattern); err != nil {
			return nil, err
		}
	}
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(fs, "/")
	if err != nil {
		return nil, fmt.Errorf("build: %w", err)
	}
	stream, err := built.AsYaml()
	if err != nil {
		return nil, fmt.Errorf("build: %w", err)
	}
	return parse(stream)
}

func copyFiles(fs filesys.FileSystem, pattern string) error {
	names, err := filepath.Glob(filepath.Join(deploy, pattern))
	if err != nil {
		return fmt.Errorf("list manifests: %w", err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return fmt.Errorf("read manifest: %w", err)
		}
		below, err := filepath.Rel(deploy, name)
		if err != nil {
			return fmt.Errorf("copy manifest: %w", err)
		}
		if err := fs.WriteFile(filepath.Join("/", checkout, below), text); err != nil {
			return fmt.Errorf("copy manifest: %w", err)
		}
	}
	return nil
}
