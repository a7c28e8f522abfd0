package main

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"

	"sigs.k8s.io/yaml"
)

// object is a Kubernetes object as JSON has it.
type object map[string]any

// id is what no two objects have in common: kind, namespace and name.
func (o object) id() string {
	meta, _ := o["metadata"].(map[string]any)
	namespace, _ := meta["namespace"].(string)
	return fmt.Sprint(o["kind"], " ", namespace, "/", meta["name"])
}

// parse returns the objects of a YAML stream, ordered by id.
func parse(stream []byte) ([]object, error) {
	var all []object
	for doc := range bytes.SplitSeq(append([]byte("\n"), stream...), []byte("\n---\n")) {
		var o object
		// The separator's first newline ends the document, and a text at the end of it.
		if err := yaml.UnmarshalStrict(append(doc, '\n'), &o); err != nil {
			return nil, fmt.Errorf("parse manifest: %w\n%s", err, doc)
		}
		if o != nil {
			all = append(all, o)
		}
	}
	sortByID(all)
	return all, nil
}

func sortByID(all []object) {
	slices.SortFunc(all, func(a, b object) int { return cmp.Compare(a.id(), b.id()) })
}

// write prints objects as a YAML stream.
func write(out io.Writer, all []object) error {
	for _, o := range all {
		text, err := yaml.Marshal(o)
		if err != nil {
			return fmt.Errorf("write %s: %w", o.id(), err)
		}
		if _, err := fmt.Fprintf(out, "---\n%s", text); err != nil {
			return err
		}
	}
	return nil
}
