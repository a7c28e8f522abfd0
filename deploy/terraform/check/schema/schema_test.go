package schema_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/joinery/joinery/deploy/terraform/check/schema"
)

var update = flag.Bool("update", false, "write aws.json again; the run then fails")

// What the module uses, without the prefix aws_.
var (
	resources = []string{
		"autoscaling_group", "autoscaling_lifecycle_hook", "cloudwatch_event_rule", "cloudwatch_event_target", "ebs_fast_snapshot_restore", "iam_instance_profile",
		"iam_role", "iam_role_policy", "kms_alias", "kms_key", "launch_template", "security_group", "sqs_queue", "sqs_queue_policy",
		"vpc_security_group_egress_rule", "vpc_security_group_ingress_rule",
	}
	dataSources = []string{"caller_identity", "partition", "region"}
)

// aws.json is what the pinned package says. Where that cannot be had the file in the tree
// stands, but for CI.
func TestSchemaIsCurrent(t *testing.T) {
	file, err := schema.Fetch()
	if err != nil && os.Getenv("CI") != "true" {
		t.Skipf("LEFT OUT: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	p, err := schema.Extract(file, resources, dataSources)
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.MarshalIndent(p, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	if *update {
		if err := os.WriteFile("aws.json", got, 0o644); err != nil {
			t.Fatal(err)
		}
		t.Fatal("aws.json written again")
	}
	have, err := os.ReadFile("aws.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, got) {
		t.Error("aws.json is stale; run go test ./schema -update")
	}
}

// Facts about the provider that can be looked up in its documentation, so that a parser
// that reads nothing is seen.
func TestKnownFacts(t *testing.T) {
	p, err := schema.Current()
	if err != nil {
		t.Fatal(err)
	}
	group, template := p.Resources["aws_autoscaling_group"], p.Resources["aws_launch_template"]
	if a := group.Attributes["max_size"]; !a.Required || string(a.Type) != `"number"` {
		t.Errorf("max_size: %+v", a)
	}
	if a := group.Attributes["arn"]; !a.Computed || a.Optional || a.Required {
		t.Errorf("arn: %+v", a)
	}
	if b := group.Blocks["tag"]; b.Nesting != "set" || b.One || !b.Block.Attributes["propagate_at_launch"].Required {
		t.Errorf("tag: %+v", b)
	}
	if b := group.Blocks["warm_pool"]; b.Nesting != "list" || !b.One {
		t.Errorf("warm_pool: %+v", b)
	}
	if a := template.Blocks["metadata_options"].Block.Attributes["http_tokens"]; !a.Optional || string(a.Type) != `"string"` {
		t.Errorf("http_tokens: %+v", a)
	}
	if len(p.Resources) != len(resources) || len(p.DataSources) != len(dataSources) || !strings.HasPrefix(p.Version, "6.") {
		t.Errorf("%d resources, %d data sources, version %s", len(p.Resources), len(p.DataSources), p.Version)
	}
}

func TestParseRefusesOtherText(t *testing.T) {
	for _, text := range []string{"", "export class A extends cdktf.TerraformResource {", "tfResourceType = \"aws_a\""} {
		if _, _, _, err := schema.Parse(text); err == nil {
			t.Errorf("%q was read", text)
		}
	}
	if _, err := schema.Source("let a = 1"); err == nil {
		t.Error("a file without a source map was read")
	}
}
