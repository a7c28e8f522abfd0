package terraform_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Each wrong variable is refused before anything is made, by its name.
func TestWrongVariables(t *testing.T) {
	in := func(more map[string]any) map[string]any {
		return map[string]any{"groups": map[string]any{"workers": group(more)}}
	}
	tests := map[string]struct {
		more map[string]any
		want string
	}{
		"cluster":       {map[string]any{"cluster": "a.b"}, "cluster: expected letters"},
		"long":          {map[string]any{"cluster": strings.Repeat("a", 43)}, "at most 42 characters"},
		"vpc":           {map[string]any{"vpc_id": "vpc"}, "vpc_id: expected"},
		"subnets":       {map[string]any{"subnet_ids": []string{}}, "subnet_ids: expected"},
		"control_plane": {map[string]any{"control_plane_security_group_id": "sg"}, "control_plane_security_group_id: expected"},
		"role":          {map[string]any{"control_plane_role_name": "arn:aws:iam::1:role/x"}, "control_plane_role_name: expected"},
		"image":         {map[string]any{"image_id": "ami"}, "image_id: expected"},
		"port":          {map[string]any{"api_server_port": 0}, "api_server_port: expected"},
		"cni":           {map[string]any{"cni_ports": []map[string]any{{"protocol": "icmp", "from": 1, "to": 1}}}, "cni_ports: expected"},
		"legacy":        {map[string]any{"legacy_token_parameter": "a*"}, "legacy_token_parameter: expected"},
		"tags":          {map[string]any{"tags": map[string]string{"joinery:cluster": "other"}}, "tags: expected"},
		"group_name":    {map[string]any{"groups": map[string]any{"A": group(nil)}}, "groups: expected one at least"},
		"no_group":      {map[string]any{"groups": map[string]any{}}, "groups: expected one at least"},
		"sizes":         {in(map[string]any{"min_size": 4}), "0 <= min_size <= max_size"},
		"no_type":       {in(map[string]any{"instance_types": []string{}}), "expected instance_types"},
		"group_image":   {in(map[string]any{"image_id": "x"}), "expected an image_id such as"},
		"group_subnet":  {in(map[string]any{"subnet_ids": []string{}}), "expected subnet_ids"},
		"node_name":     {in(map[string]any{"node_name": "host"}), "expected node_name"},
		"label":         {in(map[string]any{"labels": map[string]string{"node-role.kubernetes.io/master": ""}}), "control-plane node of a worker"},
		"label_value":   {in(map[string]any{"labels": map[string]string{"a": `x"`}}), "expected values of labels"},
		"taint_value":   {in(map[string]any{"taints": []map[string]any{{"key": "k", "value": "v\n", "effect": "NoSchedule"}}}), "expected values of labels"},
		"taint":         {in(map[string]any{"taints": []map[string]any{{"key": "k", "effect": "Never"}}}), "expected the effect of a taint"},
		"hook_timeout":  {in(map[string]any{"hook_timeout": 1}), "expected hook_timeout"},
		"warm_pool":     {in(map[string]any{"warm_pool": map[string]any{"state": "Warm"}}), "expected the state of a warm_pool"},
		"spot_pool":     {in(map[string]any{"spot": true, "warm_pool": map[string]any{}}), "none of spot"},
		"headroom":      {in(map[string]any{"headroom": 0.5}), "expected headroom"},
		"priority":      {in(map[string]any{"priority": 1.5}), "expected priority"},
		"rate":          {in(map[string]any{"root_volume": map[string]any{"device_name": "/dev/xvda", "initialization_rate": 99}}), "expected the initialization_rate"},
		"whole_rate":    {in(map[string]any{"root_volume": map[string]any{"device_name": "/dev/xvda", "initialization_rate": 200.5}}), "expected the initialization_rate"},
		"device":        {in(map[string]any{"root_volume": map[string]any{"device_name": "xvda", "initialization_rate": 300}}), "expected the device_name"},
		"snapshot":      {map[string]any{"fast_snapshot_restore": map[string]any{"snapshot_ids": []string{"ami-1"}, "availability_zones": []string{"us-west-2a"}}}, "expected snapshot_ids"},
		"zone":          {map[string]any{"fast_snapshot_restore": map[string]any{"snapshot_ids": []string{"snap-0123456789abcdef0"}, "availability_zones": []string{"2a"}}}, "expected availability_zones"},
		"no_zone":       {map[string]any{"fast_snapshot_restore": map[string]any{"snapshot_ids": []string{"snap-0123456789abcdef0"}, "availability_zones": []string{}}}, "expected both"},
		"price":         {in(map[string]any{"price": 0}), "expected price"},
	}
	cases := map[string]map[string]any{"right": one(nil)}
	for name, tt := range tests {
		cases[name] = one(tt.more)
	}
	got := complaints(plan(t, callers(t, cases)))
	for name, tt := range tests {
		if len(got[name]) != 1 || !strings.Contains(got[name][0], tt.want) {
			t.Errorf("%s: %q, want %q", name, got[name], tt.want)
		}
	}
	if len(got) != len(tests) {
		t.Errorf("complaints about %q", slices.Sorted(maps.Keys(got)))
	}
}

// plan returns what OpenTofu says of a directory that it refuses.
func plan(t *testing.T, dir string) string {
	t.Helper()
	e, data := newEngine(t), t.TempDir()
	if out, err := e.run(data, dir, "get", "-no-color"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := e.run(data, dir, "plan", "-no-color", "-input=false", "-state="+filepath.Join(data, "state"))
	if err == nil {
		t.Fatalf("planned\n%s", out)
	}
	return out
}

// A group without an image is found when its template is planned.
func TestImageIsNeeded(t *testing.T) {
	out := plan(t, callers(t, map[string]map[string]any{"bare": one(map[string]any{"image_id": nil})}))
	if !strings.Contains(out, "expected an image_id, here or for all groups") {
		t.Error(out)
	}
}

// What holds the module to the provider's schema is seen to hold.
func TestSchemaRefuses(t *testing.T) {
	dir := t.TempDir()
	tests := map[string]struct{ text, want string }{
		"unknown_attribute":  {`resource "aws_sqs_queue" "q1" { retention = 1 }`, "Unsupported argument"},
		"unknown_block":      {"resource \"aws_sqs_queue\" \"q2\" {\n  tag {\n  }\n}", "Unsupported block type"},
		"missing_attribute":  {"resource \"aws_autoscaling_group\" \"g1\" {\n  min_size = 1\n}", "Missing required argument"},
		"wrong_type":         {"resource \"aws_autoscaling_group\" \"g2\" {\n  min_size = 1\n  max_size = [2]\n}", "Incorrect attribute value type"},
		"block_twice":        {"resource \"aws_launch_template\" \"t\" {\n  metadata_options {\n  }\n  metadata_options {\n  }\n}", "Too many metadata_options blocks"},
		"computed_attribute": {"resource \"aws_sqs_queue\" \"q3\" {\n  url = \"x\"\n}", "Attribute of the provider's alone: url"},
		"unknown_resource":   {`resource "aws_sqs_queues" "q" {}`, "Invalid resource type"},
		"unknown_result":     {"data \"aws_region\" \"r\" {}\noutput \"o\" {\n  value = data.aws_region.r.county\n}", "Unsupported attribute"},
	}
	for name, tt := range tests {
		if err := os.WriteFile(filepath.Join(dir, name+".tf"), []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := newEngine(t).run(t.TempDir(), dir, "validate", "-no-color")
	if err == nil {
		t.Fatalf("valid\n%s", out)
	}
	got := complaints(out)
	for name, tt := range tests {
		if len(got[name]) != 1 || !strings.HasPrefix(got[name][0], tt.want) {
			t.Errorf("%s: %q, want %q", name, got[name], tt.want)
		}
	}
}
