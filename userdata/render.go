package userdata

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"github.com/joinery/joinery/api/v1alpha1"
)

// plainScalar is text that YAML reads as itself without quotes, by the first
// character never a number, a date or a boolean's short form.
var plainScalar = regexp.MustCompile(`^/?[a-zA-Z]{3,}[a-zA-Z0-9/_.-]*$`)

// Render returns the user data for a NodeConfig, at most ten lines and MaxBytes
// long, one line for each field of spec. What equals the default is left out.
// A NodeConfig that Parse would refuse is an error of the same types.
func Render(c *v1alpha1.NodeConfig) ([]byte, error) {
	s := c.Spec
	if s.Parameter == v1alpha1.ParameterName(s.Cluster) {
		s.Parameter = ""
	}
	if s.NodeName.Mode == v1alpha1.IPName {
		s.NodeName.Mode = ""
	}
	raw, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("render user data: %w", err)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		return nil, fmt.Errorf("render user data: %w", err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: %s\nkind: %s\nspec:\n", v1alpha1.GroupVersion, v1alpha1.KindNodeConfig)
	for _, name := range []string{"cluster", "parameter", "nodeName", "labels", "taints", "kubelet", "kubeadm"} {
		if v, set := fields[name]; set {
			fmt.Fprintf(&b, "  %s: %s\n", name, scalar(v))
		}
	}
	if b.Len() > MaxBytes {
		return nil, invalid("%d bytes of user data: expected at most %d", b.Len(), MaxBytes)
	}
	if _, err := Parse([]byte(b.String())); err != nil {
		return nil, err
	}
	return []byte(b.String()), nil
}

// scalar takes the quotes off where YAML needs none; all other JSON is YAML in
// flow style as it stands.
func scalar(v json.RawMessage) string {
	var text string
	if json.Unmarshal(v, &text) == nil && plainScalar.MatchString(text) && !yamlWord[strings.ToLower(text)] {
		return text
	}
	return string(v)
}

var yamlWord = map[string]bool{"true": true, "false": true, "null": true, "yes": true, "off": true}
