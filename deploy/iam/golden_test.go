package iam_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/joinery/joinery/deploy/iam"
	"github.com/joinery/joinery/internal/golden"
)

// all is every value that some document needs.
func all(region string) iam.Values {
	p := iam.PartitionOf(region)
	return iam.Values{
		Region: region, Account: "123456789012", Cluster: "demo", KMSKeyARN: "arn:" + p + ":kms:" + region + ":123456789012:key/k",
		Queue: "joinery-demo", Group: "workers", Parameter: "/old/token",
	}
}

// What an operator gets is in view, for each partition.
func TestRenderings(t *testing.T) {
	for _, region := range partitions {
		var got strings.Builder
		for _, d := range iam.Documents() {
			text, err := iam.Render(d.Name, all(region))
			if err != nil {
				t.Fatal(err)
			}
			got.WriteString("# " + d.Name + "\n" + text)
		}
		golden.Check(t, filepath.Join("testdata", iam.PartitionOf(region)+".golden"), got.String())
	}
}

// Every file can be rendered.
func TestEveryFileIsADocument(t *testing.T) {
	files, err := filepath.Glob("*.json")
	if err != nil || len(files) != len(iam.Documents())+1 { // Packer has two
		t.Errorf("%d documents in %d files, %v", len(iam.Documents()), len(files), err)
	}
}

// everywhere are the statements that name no resource, and why none can be named.
var everywhere = map[string]string{
	"Observe":             "AWS knows no resource for what describes",
	"Look":                "the same",
	"NoOldTokensNoWrites": "it denies",
	"LeaveAccessToIAM":    "in a key's own policy, this is that key",
}

func TestResourcesAreNamed(t *testing.T) {
	for _, d := range iam.Documents() {
		if d.Name == "trust" {
			continue // a trust policy has no resource
		}
		p := load(t, func(iam.Values) (string, error) { return iam.Render(d.Name, all("us-west-2")) })
		for _, s := range p.Statement {
			if slices.Contains(s.Resource, "*") && everywhere[s.Sid] == "" {
				t.Errorf("%s: %s is on every resource", d.Name, s.Sid)
			}
			describes := s.Sid == "Observe" || s.Sid == "Look"
			if describes && !slices.Equal(s.Condition["StringEquals"]["aws:RequestedRegion"], oneOrMany{"us-west-2"}) {
				t.Errorf("%s: %s reaches other regions", d.Name, s.Sid)
			}
			for _, a := range s.Action {
				if describes && !strings.Contains(a, ":Describe") {
					t.Errorf("%s: %s: %s has resources", d.Name, s.Sid, a)
				}
			}
		}
	}
}
