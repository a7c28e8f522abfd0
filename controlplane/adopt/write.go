package adopt

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"

	"github.com/joinery/joinery/internal/binding/binder"
)

// writer is the part of client-go's ConfigMapInterface that writing takes.
type writer interface {
	Get(context.Context, string, metav1.GetOptions) (*corev1.ConfigMap, error)
	Create(context.Context, *corev1.ConfigMap, metav1.CreateOptions) (*corev1.ConfigMap, error)
	Update(context.Context, *corev1.ConfigMap, metav1.UpdateOptions) (*corev1.ConfigMap, error)
}

// Write makes the ConfigMap say what lines decide, and leaves its other entries as
// they are. What somebody else writes at the same time is not lost.
func Write(ctx context.Context, client writer, lines []Line) error {
	change, err := changes(lines)
	if err != nil || len(change) == 0 {
		return err
	}
	again := func(err error) bool { return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) }
	err = retry.OnError(retry.DefaultBackoff, again, func() error {
		cm, err := client.Get(ctx, binder.RecordsName, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			cm = &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: binder.RecordsName, Namespace: metav1.NamespaceSystem}}
			apply(cm, change)
			_, err = client.Create(ctx, cm, metav1.CreateOptions{})
			return err
		}
		if err != nil {
			return err
		}
		cm = cm.DeepCopy()
		apply(cm, change)
		_, err = client.Update(ctx, cm, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		return fmt.Errorf("write ConfigMap kube-system/%s: %w", binder.RecordsName, err)
	}
	return nil
}

// changes maps names to their new entries; empty ones go.
func changes(lines []Line) (map[string]string, error) {
	out := map[string]string{}
	for _, l := range lines {
		switch {
		case l.Action == Removed:
			out[l.Node] = ""
		case l.Record != nil:
			text, err := json.Marshal(l.Record)
			if err != nil {
				return nil, fmt.Errorf("encode record of node %s: %w", l.Node, err)
			}
			out[l.Node] = string(text)
		}
	}
	return out, nil
}

func apply(cm *corev1.ConfigMap, change map[string]string) {
	if cm.Data == nil {
		cm.Data = map[string]string{}
	}
	for name, text := range change {
		if text == "" {
			delete(cm.Data, name)
			continue
		}
		cm.Data[name] = text
	}
}

// Removal says what becomes of the records of those names.
func Removal(book Book, names []string) []Line {
	var out []Line
	for _, name := range slices.Compact(slices.Sorted(slices.Values(names))) {
		l := Line{Node: name, Action: Removed, Message: "its renewals are held from now on, unless it came from an approved join"}
		_, recorded := book.Records[name]
		if _, broken := book.Broken[name]; !recorded && !broken {
			l.Action, l.Message = Missing, "it was not adopted"
		}
		out = append(out, l)
	}
	return out
}
