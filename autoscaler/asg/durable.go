package asg

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/joinery/joinery/autoscaler/cluster"
)

// entry is what is written down of a type of a group.
type entry struct {
	Type        string              `json:"type"`
	Version     string              `json:"version"`
	Image       string              `json:"image,omitempty"`
	Nodes       int                 `json:"nodes"`
	Capacity    corev1.ResourceList `json:"capacity,omitempty"`
	Allocatable corev1.ResourceList `json:"allocatable,omitempty"`
	Limits      map[string]int32    `json:"attachLimits,omitempty"`
	Labels      map[string]string   `json:"labels,omitempty"`
	Pods        []cluster.NodePod   `json:"pods,omitempty"`
}

func (r remembered) entry() entry {
	return entry{r.of.kind, r.of.version, r.of.image, r.nodes, r.capacity, r.allocatable, r.limits, r.labels, r.pods}
}

func (e entry) remembered() remembered {
	return remembered{learnedOf{e.Type, e.Version, e.Image}, e.Nodes, learned{e.Capacity, e.Allocatable, e.Limits, e.Labels, e.Pods}}
}

// same reports whether both are written down alike. Amounts are compared by value: two
// ways to write one are the same.
func (r remembered) same(o remembered) bool {
	amounts := func(a, b corev1.ResourceList) bool {
		return maps.EqualFunc(a, b, func(x, y resource.Quantity) bool { return x.Cmp(y) == 0 })
	}
	return r.of == o.of && r.nodes == o.nodes && amounts(r.capacity, o.capacity) && amounts(r.allocatable, o.allocatable) &&
		maps.Equal(r.limits, o.limits) && maps.Equal(r.labels, o.labels) && reflect.DeepEqual(r.pods, o.pods)
}

// Changes counts how often what the groups' nodes told has changed.
func (c *Client) Changes() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, g := range c.groups {
		n += c.known[g.Name].memory.count()
	}
	return n
}

// Learned writes down what the groups' nodes told, in at most so many bytes: of more, the
// last groups by name are left out.
func (c *Client) Learned(most int) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	all, size := map[string]json.RawMessage{}, len("{}")
	for _, g := range c.groups {
		entries := c.recalled[g.Name] // while its template is not known
		if m := c.known[g.Name].memory; m != nil {
			entries = m.entries()
		}
		if len(entries) == 0 {
			continue
		}
		text, err := json.Marshal(entries)
		if err != nil {
			return "", fmt.Errorf("write down what nodes of group %s told: %w", g.Name, err)
		}
		if size += len(text) + len(g.Name) + len(`"":,`); size > most {
			break
		}
		all[g.Name] = text
	}
	text, err := json.Marshal(all)
	if err != nil {
		return "", fmt.Errorf("write down what nodes told: %w", err)
	}
	return string(text), nil
}

// Recall takes what an earlier leader wrote down with Learned, of types about which nothing
// is known here.
func (c *Client) Recall(text string) error {
	if text == "" {
		return nil
	}
	var all map[string][]entry
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		return fmt.Errorf("read what nodes told: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.recalled = all
	for name, known := range c.known {
		known.memory.recallAll(all[name])
	}
	return nil
}

// count is how often anything was learned that was not known.
func (m *memory) count() int {
	if m == nil {
		return 0
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changes
}

// entries are what is kept, by type.
func (m *memory) entries() []entry {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []entry
	for _, kind := range slices.Sorted(maps.Keys(m.byType)) {
		out = append(out, m.byType[kind].entry())
	}
	return out
}

// recallAll takes what is not known here.
func (m *memory) recallAll(all []entry) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range all {
		if _, known := m.byType[e.Type]; known || e.Nodes < 1 {
			continue
		}
		if m.byType == nil {
			m.byType = map[string]remembered{}
		}
		m.byType[e.Type] = e.remembered()
	}
}
