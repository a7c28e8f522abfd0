package userdata_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/userdata"
)

const plain = "apiVersion: joinery.dev/v1alpha1\nkind: NodeConfig\nspec:\n  cluster: demo\n"

const archive = `MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="==b=="

--==b==
Content-Type: text/x-shellscript; charset="us-ascii"

#!/bin/sh
echo apiVersion: joinery.dev/v1alpha1
--==b==
Content-Type: application/node.joinery.dev
%ENCODING%
%BODY%
--==b==--
`

func mimeOf(encoding, body string) string {
	if encoding != "" {
		encoding = "Content-Transfer-Encoding: " + encoding + "\n"
	}
	return strings.NewReplacer("%ENCODING%\n", encoding+"\n", "%BODY%", body).Replace(archive)
}

func zipped(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func encoded(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

func TestParseFindsTheNodeConfigInEveryWrapping(t *testing.T) {
	for name, raw := range map[string]string{
		"plain":               plain,
		"leading separator":   "---\n" + plain,
		"comment first":       "# the demo's nodes\n" + plain,
		"json":                `{"apiVersion":"joinery.dev/v1alpha1","kind":"NodeConfig","spec":{"cluster":"demo"}}`,
		"gzip":                zipped(t, plain),
		"base64":              encoded(plain),
		"base64 of gzip":      encoded(zipped(t, plain)),
		"mime":                mimeOf("", plain),
		"mime 7bit":           mimeOf("7bit", plain),
		"mime base64 part":    mimeOf("base64", encoded(plain)),
		"mime carriage":       strings.ReplaceAll(mimeOf("", plain), "\n", "\r\n"),
		"gzip of mime":        zipped(t, mimeOf("", plain)),
		"base64 gzip of mime": encoded(zipped(t, mimeOf("", plain))),
		"single part":         "Content-Type: application/node.joinery.dev\nMIME-Version: 1.0\n\n" + plain,
	} {
		t.Run(name, func(t *testing.T) {
			c, err := userdata.Parse([]byte(raw))
			if err != nil {
				t.Fatal(err)
			}
			if c.Spec.Cluster != "demo" || c.Spec.Parameter != "/joinery/demo/join" {
				t.Errorf("got spec %+v", c.Spec)
			}
		})
	}
}

func TestParseTellsAbsentFromInvalid(t *testing.T) {
	const absent, invalid, version = "absent", "invalid", "version"
	for name, tc := range map[string]struct{ raw, want string }{
		"empty":                 {"", absent},
		"blank":                 {" \n\n", absent},
		"shell":                 {"#!/bin/sh\ncat <<E\n" + plain + "E\n", absent},
		"cloud-config":          {"#cloud-config\nwrite_files:\n- content: 'kind: NodeConfig'\n", absent},
		"other yaml":            {"hello: world\n", absent},
		"mime without ours":     {strings.ReplaceAll(mimeOf("", plain), userdata.ContentType, "text/plain"), absent},
		"word":                  {"hello", absent},
		"base64 of shell":       {encoded("#!/bin/sh\ntrue\n"), absent},
		"other version":         {strings.Replace(plain, "v1alpha1", "v9", 1), version},
		"other group same kind": {strings.Replace(plain, "joinery.dev", "example.com", 1), version},
		"malformed yaml":        {plain + " x", invalid},
		"unknown field":         {plain + "  clutser: demo\n", invalid},
		"two documents":         {plain + "---\n" + plain, invalid},
		"two parts":             {strings.Replace(mimeOf("", plain), "--==b==--", "--==b==\nContent-Type: application/node.joinery.dev\n\n"+plain+"\n--==b==--", 1), invalid},
		"cut mime":              {strings.Split(mimeOf("", plain), "spec:")[0], invalid},
		"broken gzip":           {"\x1f\x8b rubbish", invalid},
		"cut gzip":              {zipped(t, plain)[:30], invalid},
		"bomb":                  {zipped(t, plain+strings.Repeat("#", 2<<20)), invalid},
		"too long":              {plain + "#" + strings.Repeat("x", 32<<10), invalid},
		"bad part encoding":     {mimeOf("x-rot13", plain), invalid},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := userdata.Parse([]byte(tc.raw))
			var inv *v1alpha1.InvalidError
			var ver *v1alpha1.VersionError
			got := map[bool]string{errors.Is(err, userdata.ErrAbsent): absent, errors.As(err, &inv): invalid, errors.As(err, &ver): version}[true]
			if got != tc.want {
				t.Errorf("got %q (%v), want %s", got, err, tc.want)
			}
		})
	}
}

func TestRenderIsShortAndComesBackEqual(t *testing.T) {
	full, err := v1alpha1.NodeConfigFor("demo-1.x")
	if err != nil {
		t.Fatal(err)
	}
	small, err := v1alpha1.NodeConfigFor("1e3")
	if err != nil {
		t.Fatal(err)
	}
	full.Spec.Parameter = "/other/place"
	full.Spec.NodeName.Mode = v1alpha1.InstanceIDName
	full.Spec.Labels = map[string]string{"example.com/pool": "true", "tier": "", "n": "1"}
	full.Spec.Taints = []corev1.Taint{{Key: "dedicated", Value: "x", Effect: corev1.TaintEffectNoSchedule}}
	full.Spec.Kubelet = v1alpha1.KubeletSettings{"maxPods": int64(32), "kubeReserved": map[string]any{"cpu": "100m"}}
	full.Spec.Kubeadm.IgnorePreflightErrors = []string{"SystemVerification"}
	for _, c := range []*v1alpha1.NodeConfig{full, small} {
		text, err := userdata.Render(c)
		if err != nil {
			t.Fatal(err)
		}
		if lines := strings.Count(string(text), "\n"); lines > 10 {
			t.Errorf("%d lines:\n%s", lines, text)
		}
		back, err := userdata.Parse(text)
		if err != nil {
			t.Fatalf("%v:\n%s", err, text)
		}
		if diff := cmp.Diff(c, back); diff != "" {
			t.Errorf("%s\n%s", text, diff)
		}
	}
}

func TestRenderRefusesWhatParseWould(t *testing.T) {
	var inv *v1alpha1.InvalidError
	if _, err := userdata.Render(&v1alpha1.NodeConfig{}); !errors.As(err, &inv) {
		t.Errorf("got %v, want an InvalidError for a missing cluster", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{plain, mimeOf("", plain), mimeOf("base64", encoded(plain)), encoded(plain), zipped(f, plain), "#!/bin/sh", ""} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := userdata.Parse(raw)
		if (c == nil) == (err == nil) {
			t.Fatalf("config %v, error %v", c, err)
		}
		var inv *v1alpha1.InvalidError
		var ver *v1alpha1.VersionError
		if err != nil {
			if !errors.Is(err, userdata.ErrAbsent) && !errors.As(err, &inv) && !errors.As(err, &ver) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		if text, err := userdata.Render(c); err == nil {
			if _, err := userdata.Parse(text); err != nil {
				t.Fatalf("rendered text is refused: %v\n%s", err, text)
			}
		}
	})
}
