package packer_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/joinery/joinery/lab/labtest"
	"github.com/joinery/joinery/lab/packer"
)

// template is the directory of the template for EC2.
const template = "../../packer/ebs"

// variables are values of the template's variables, with which it is valid.
func variables(change map[string]any) map[string]any {
	all := map[string]any{
		"region": "us-west-2", "subnet_id": "subnet-0123456789abcdef0", "ssh_source_cidrs": []string{"10.0.0.0/8"},
		"kubernetes_version": "1.37.2", "containerd_version": "2.4.2", "joinery_version": "0.1.0",
		"archives": []map[string]any{{"component": "joinery-agent", "url": "https://archives.example/joinery-agent", "checksum": "sha256:" + strings.Repeat("0", 64)}},
		"repositories": []map[string]any{{
			"name": "kubernetes", "url": "https://packages.example/deb", "suite": "/", "components": []string{}, "key_file": "key.asc", "key_fingerprint": strings.Repeat("A", 40),
		}},
	}
	for name, value := range change {
		all[name] = value
	}
	return all
}

// write puts variables into a file that packer reads.
func write(t *testing.T, variables map[string]any) string {
	t.Helper()
	data, err := json.Marshal(variables)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "node.pkrvars.json")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// validate runs packer validate and returns what it says, in one line.
func validate(t *testing.T, p *packer.Packer, change map[string]any) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), p.Program(), "validate", "-var-file="+write(t, variables(change)), template)
	cmd.Env = append(p.Environment(), "AWS_EC2_METADATA_DISABLED=true")
	out, err := cmd.CombinedOutput()
	return strings.Join(strings.Fields(string(out)), " "), err
}

// TestTemplate holds the template, and what the provisioner says of wrong options, to
// the real packer.
func TestTemplate(t *testing.T) {
	p := labtest.Packer(t)
	t.Run("every system", func(t *testing.T) { everySystem(t, p) })
	t.Run("every variable", func(t *testing.T) { everyVariable(t, p) })
	t.Run("every interface", func(t *testing.T) { everyInterface(t, p) })
	t.Run("wrong options", func(t *testing.T) { wrongOptions(t, p) })
	t.Run("wrong variables", func(t *testing.T) { wrongVariables(t, p) })
}

func everySystem(t *testing.T, p *packer.Packer) {
	for _, system := range []string{"debian-12", "debian-13", "ubuntu-22.04", "ubuntu-24.04"} {
		for _, architecture := range []string{"amd64", "arm64"} {
			if out, err := validate(t, p, map[string]any{"system": system, "architecture": architecture}); err != nil {
				t.Errorf("%s %s: %v: %s", system, architecture, err, out)
			}
		}
	}
}

// everyVariable gives each optional variable a value other than its default.
func everyVariable(t *testing.T, p *packer.Packer) {
	key := map[string]any{"url": "SUMS", "signature_url": "SUMS.asc", "key_file": "key.asc", "key_fingerprint": strings.Repeat("B", 40)}
	out, err := validate(t, p, map[string]any{
		"ssh_interface": "session_manager", "iam_instance_profile": "packer-ssm", "instance_type": "m5.large", "ec2_endpoint": "http://127.0.0.1:1", "source_owner": "123456789012",
		"sums": []any{key}, "images": []string{"registry.example/a:1@sha256:" + strings.Repeat("0", 64)}, "containerd_package": "containerd",
		"pause_image": "registry.example/pause:1", "volume_size": 40, "kms_key_id": "alias/images", "tags": map[string]string{"team": "a"}, "manifest": "m.json",
	})
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// everyInterface has those that need nothing else, and the one that needs a profile.
func everyInterface(t *testing.T, p *packer.Packer) {
	for _, name := range []string{"private_ip", "public_ip"} {
		if out, err := validate(t, p, map[string]any{"ssh_interface": name}); err != nil {
			t.Errorf("%s: %v: %s", name, err, out)
		}
	}
	out, err := validate(t, p, map[string]any{"ssh_interface": "session_manager"})
	if err == nil || !strings.Contains(out, "no iam_instance_profile defined") {
		t.Errorf("session_manager without a profile: %v: %s", err, out)
	}
}

// wrongOptions checks that the provisioner's complaints reach those who validate: all at
// once, by their names.
func wrongOptions(t *testing.T, p *packer.Packer) {
	out, err := validate(t, p, map[string]any{
		"kubernetes_version": "1.30.9",
		"archives": []map[string]any{
			{"component": "joinery-agent", "url": "agent", "checksum": nil},
			{"component": "containerd", "url": "https://user:s3cret@archives.example/containerd.zip?sig=s3cret", "checksum": nil},
		},
		"pause_image": "pause",
	})
	if err == nil {
		t.Error("valid")
	}
	for _, want := range []string{
		`kubernetes_version: is "1.30.9": want a release from 1.31 to 1.37`,
		"archive[0].checksum: is empty: want sha256:<hex>",
		`archive[1].url: is "https://[redacted]@archives.example/containerd.zip?[redacted]": want an address without a password`,
		`pause_image: is "pause": want a name with a tag`,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q lacks %q", out, want)
		}
	}
	if strings.Contains(out, "s3cret") {
		t.Errorf("%q has a secret", out)
	}
}

func wrongVariables(t *testing.T, p *packer.Packer) {
	for name, value := range map[string]any{
		"ssh_interface": "public_dns", "iam_instance_profile": "arn:aws:iam::123456789012:instance-profile/packer-ssm",
		"ssh_source_cidrs": []string{"10.0.0.0/8", "0.0.0.0/0"}, "system": "debian-11", "architecture": "x86_64", "tags": map[string]string{"joinery:build": "other"},
	} {
		out, err := validate(t, p, map[string]any{name: value})
		if want := "The variable " + name + ": expected "; err == nil || !strings.Contains(out, want) {
			t.Errorf("%s: %v: %q, want %q", name, err, out, want)
		}
	}
}
