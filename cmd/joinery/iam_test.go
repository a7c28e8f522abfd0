package main

import (
	"strings"
	"testing"

	"github.com/joinery/joinery/deploy/iam"
)

const bundleKey = "arn:aws:kms:us-west-2:123456789012:key/k"

func TestIAMPrintsEachDocument(t *testing.T) {
	want := iam.Values{Cluster: "demo", Region: "us-west-2", Account: "123456789012", KMSKeyARN: bundleKey, Queue: "joinery-demo", Group: "workers", Parameter: "/old/token"}
	for _, d := range iam.Documents() {
		code, out, trouble := run(t, "iam", d.Name, "--cluster", "demo", "--region", "us-west-2", "--account", "123456789012",
			"--kms-key-arn", bundleKey, "--queue", "joinery-demo", "--group", "workers", "--parameter", "/old/token")
		text, err := iam.Render(d.Name, want)
		if err != nil || code != 0 || out != text || trouble != "" {
			t.Errorf("%s: code %d, %q, %q, want %q, %v", d.Name, code, out, trouble, text, err)
		}
	}
}

func TestIAMTakesThePartitionThatItIsGiven(t *testing.T) {
	code, out, trouble := run(t, "iam", "trust", "--partition", "aws-cn")
	if code != 0 || !strings.Contains(out, `"ec2.amazonaws.com.cn"`) {
		t.Errorf("code %d, %q, %q", code, out, trouble)
	}
}

func TestIAMListsDocuments(t *testing.T) {
	code, out, _ := run(t, "iam")
	if n := strings.Count(out, "\n"); code != 0 || n != len(iam.Documents()) {
		t.Errorf("code %d, %d lines:\n%s", code, n, out)
	}
}

func TestIAMNamesAllThatIsMissing(t *testing.T) {
	code, out, trouble := run(t, "iam", "node", "--region", "us-west-2", "--cluster", "a*")
	if code != 2 || out != "" {
		t.Errorf("code %d, %q", code, out)
	}
	for _, want := range []string{"${ACCOUNT}", "${KMS_KEY_ARN}", `${CLUSTER}: "a*"`} {
		if !strings.Contains(trouble, want) {
			t.Errorf("%q does not name %s", trouble, want)
		}
	}
	if code, _, trouble := run(t, "iam", "worker"); code != 2 || !strings.Contains(trouble, `"worker"`) {
		t.Errorf("code %d, %q", code, trouble)
	}
}
