package download_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/joinery/joinery/internal/download"
)

func TestKeep(t *testing.T) {
	const content = "program"
	want256 := fmt.Sprintf("%x", sha256.Sum256([]byte(content)))
	for _, sum := range []string{"sha256:" + want256, fmt.Sprintf("sha512:%x", sha512.Sum512([]byte(content)))} {
		dir := t.TempDir()
		kept, err := download.Keep(strings.NewReader(content), "kubelet", sum, dir)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(kept.Path); err != nil || string(got) != content || kept.SHA256 != want256 {
			t.Errorf("kept %q with the sum %s (%v)", got, kept.SHA256, err)
		}
		for what, spoiled := range map[string]string{"altered": "Program", "truncated": "prog", "longer": content + "\n", "empty": ""} {
			_, err := download.Keep(strings.NewReader(spoiled), "kubelet", sum, dir)
			if !errors.Is(err, download.ErrUnverified) || !strings.Contains(err.Error(), "kubelet has the "+sum[:6]+" sum") {
				t.Errorf("%s: %v", what, err)
			}
		}
		broken := io.MultiReader(strings.NewReader(content), errorReader{})
		if _, err := download.Keep(broken, "kubelet", sum, dir); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("a broken connection gives %v", err)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
			t.Errorf("%v lies there, want the good file alone (%v)", left, err)
		}
	}
}

type errorReader struct{}

func (errorReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestText(t *testing.T) {
	if got, err := download.Text(strings.NewReader("sums"), "f"); err != nil || string(got) != "sums" {
		t.Errorf("got %q, %v", got, err)
	}
	_, err := download.Text(bytes.NewReader(make([]byte, 4<<20+1)), "f")
	if err == nil || !strings.Contains(err.Error(), "read f: it is larger than 4194304 bytes") {
		t.Errorf("a text without end gives %v", err)
	}
}

func TestParseSums(t *testing.T) {
	one, two := strings.Repeat("A", 64), strings.Repeat("b", 128)
	sums, err := download.ParseSums("f", one+"  dir/kubelet\n\n"+two+" *kubeadm\n")
	if err != nil || len(sums) != 2 || sums["kubelet"] != "sha256:"+strings.ToLower(one) || sums["kubeadm"] != "sha512:"+two {
		t.Errorf("got %v, %v", sums, err)
	}
	for _, bad := range []string{one, one + " a b", one[1:] + " a", strings.Repeat("g", 64) + " a"} {
		if _, err := download.ParseSums("f", bad); err == nil {
			t.Errorf("%q is read", bad)
		}
	}
	if got, ok := download.Checksum(one); !ok || !download.IsChecksum(got) {
		t.Errorf("Checksum gives %q, %v", got, ok)
	}
	if got, ok := download.Checksum("d41d8cd98f00b204e9800998ecf8427e"); ok {
		t.Errorf("an MD5 sum is %s", got)
	}
}

func TestOpen(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/there" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, "content")
	}))
	defer s.Close()
	in, err := download.Open(t.Context(), s.Client(), s.URL+"/there")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if got, err := io.ReadAll(in); err != nil || string(got) != "content" {
		t.Errorf("got %q, %v", got, err)
	}
	_, err = download.Open(t.Context(), s.Client(), s.URL+"/missing")
	if !errors.Is(err, download.ErrUnverified) || !strings.Contains(err.Error(), "/missing: not verified: the server answers 404 Not Found") {
		t.Errorf("a missing file gives %v", err)
	}
}
