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
	"time"

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
	if sums, err := download.ParseSums("f", one+"  a/x\n"+strings.ToLower(one)+"  *b/x\n"); err != nil || len(sums) != 1 {
		t.Errorf("one sum twice gives %v, %v", sums, err)
	}
	for _, other := range []string{strings.Repeat("c", 64), two} {
		_, err := download.ParseSums("f", one+"  a/x\n"+other+"  b/x\n")
		if err == nil || !strings.Contains(err.Error(), `read f: it has two files "x" with different sums: expected one`) {
			t.Errorf("two sums of one name give %v", err)
		}
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

func TestName(t *testing.T) {
	for address, want := range map[string]string{
		"https://h/a/x.tar.gz": "x.tar.gz", "https://h/x.tgz?X-Amz-Signature=a/b": "x.tgz", "https://h/x#a/b": "x", "/srv/a?b/x?c": "x?c", "x": "x",
	} {
		if got := download.Name(address); got != want {
			t.Errorf("%s has the name %s, want %s", address, got, want)
		}
	}
}

// No error repeats what is secret in an address, whether it can be fetched or not.
func TestOpenKeepsSecrets(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	moved := httptest.NewServer(http.RedirectHandler("ftp://user:s3cret@host/x?X-Amz-Signature=s3cret", http.StatusFound))
	defer moved.Close()
	host := strings.TrimPrefix(s.URL, "http://")
	clients := map[string]*http.Client{"plain": s.Client(), "TLS only": download.Limits{Connect: time.Second}.Client(&http.Transport{})}
	for name, client := range clients {
		for _, address := range []string{
			"http://user:s3cret@" + host + "/x", "http://" + host + "/x?X-Amz-Signature=s3cret", "http://s3cret@" + host + "/x",
			"https://user:s3cret@127.0.0.1:1/x?sig=s3cret", "https://user:s3cret@h/a b", "ftp://user:s3cret@h/x", "user:s3cret@h/x",
			"https://user:s3cret%zz@h/x", "https://user:s3/cret@h/x", "https://user:s3?cret@h/x", "https://h:s3cret@", moved.URL,
		} {
			_, err := download.Open(t.Context(), client, address)
			if err == nil || strings.Contains(err.Error(), "s3") || strings.Contains(err.Error(), "cret@") {
				t.Errorf("%s: %s: %v", name, address, err)
			}
		}
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
