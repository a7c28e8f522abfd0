package binder

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/joinery/joinery/internal/binding"
	"github.com/joinery/joinery/internal/quote"
)

// The ConfigMap that holds adoption records: its data maps a Node's name to a
// binding.Record in JSON. No kubelet can write it.
const (
	RecordsNamespace = metav1.NamespaceSystem
	RecordsName      = "joinery-adopted"
)

// EntryError says which adoption records cannot be read. Those that it does not name
// hold.
type EntryError struct {
	// Problems by the name of the Node whose record it is.
	Problems map[string]error
}

// Error names every Node and what is wrong with its record.
func (e *EntryError) Error() string {
	var all []string
	for _, node := range slices.Sorted(maps.Keys(e.Problems)) {
		all = append(all, fmt.Sprintf("record of node %s: %v", quote.Text(node), e.Problems[node]))
	}
	return strings.Join(all, "; ")
}

// ConfigMap returns the records in the cluster's ConfigMap. A cluster without one has
// none.
func ConfigMap(client kubernetes.Interface) Records { return configMap{client} }

type configMap struct{ client kubernetes.Interface }

// Records reads the ConfigMap now.
func (c configMap) Records(ctx context.Context) (binding.Records, error) {
	m, err := c.client.CoreV1().ConfigMaps(RecordsNamespace).Get(ctx, RecordsName, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read ConfigMap %s/%s: %w", RecordsNamespace, RecordsName, err)
	}
	return ParseRecords(m.Data)
}

// ParseRecords reads the data of the ConfigMap. It returns every record that can be
// read, and an *EntryError if some cannot.
func ParseRecords(data map[string]string) (binding.Records, error) {
	out := binding.Records{}
	bad := &EntryError{Problems: map[string]error{}}
	for node, text := range data {
		r, err := parseRecord(text)
		if err != nil {
			bad.Problems[node] = err
			continue
		}
		out[node] = r
	}
	if len(bad.Problems) > 0 {
		return out, bad
	}
	return out, nil
}

func parseRecord(text string) (binding.Record, error) {
	var r binding.Record
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return r, fmt.Errorf("%s: expected a record in JSON: %w", quote.Text(text), err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return r, fmt.Errorf("%s: expected one record and nothing after it", quote.Text(text))
	}
	if r.UID == "" {
		return r, errors.New("uid: required")
	}
	return r, nil
}
