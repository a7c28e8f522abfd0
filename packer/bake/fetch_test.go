package bake_test

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"

	"github.com/joinery/joinery/lab/apt"
	"github.com/joinery/joinery/packer/bake"
)

// keys takes a second a key: all tests share two.
var keys = sync.OnceValues(func() ([2]*openpgp.Entity, error) {
	one, err := apt.NewKey("one")
	if err != nil {
		return [2]*openpgp.Entity{}, err
	}
	two, err := apt.NewKey("two")
	return [2]*openpgp.Entity{one, two}, err
})

// shelf is a directory with archives, a package, and their signed sums.
func shelf(t *testing.T, served bool) (dir string, o bake.Options) {
	t.Helper()
	k, err := keys()
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	o = whole()
	o.Images = nil
	var names []string
	for i := range o.Archives {
		name := filepath.Base(o.Archives[i].URL)
		put(t, dir, name, "content of "+name)
		o.Archives[i].Checksum = ""
		names = append(names, name)
	}
	put(t, dir, "kubelet.deb", "package")
	names = append(names, "kubelet.deb")
	for _, err := range []error{apt.WriteSums(dir, k[0], names...), apt.WriteKey(filepath.Join(dir, "key.asc"), k[1], k[0])} {
		if err != nil {
			t.Fatal(err)
		}
	}
	key := bake.Key{File: filepath.Join(dir, "key.asc"), Fingerprint: apt.Fingerprint(k[0])}
	o.Repositories[0].Key = key
	at := "SHA256SUMS"
	if served {
		s := httptest.NewServer(http.FileServer(http.Dir(dir)))
		t.Cleanup(s.Close)
		for i := range o.Archives {
			o.Archives[i].URL = s.URL + "/" + filepath.Base(o.Archives[i].URL)
		}
		at = s.URL + "/SHA256SUMS"
	} else {
		o.Repositories, o.Offline = nil, dir
	}
	o.Sums = &bake.Sums{URL: at, SignatureURL: at + ".asc", Key: key}
	return dir, o
}

func put(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func fetch(t *testing.T, o bake.Options) (*bake.Materials, error) {
	t.Helper()
	return bake.Fetch(t.Context(), o, http.DefaultClient, t.TempDir())
}

func TestFetch(t *testing.T) {
	for _, served := range []bool{true, false} {
		_, o := shelf(t, served)
		m, err := fetch(t, o)
		if err != nil {
			t.Fatal(err)
		}
		if !served {
			if len(m.Packages) != 1 || m.Packages[0] != "kubelet.deb" {
				t.Errorf("packages %q", m.Packages)
			}
			continue
		}
		// Of the two keys in the file the pinned one alone gets to the machine.
		ring, err := openpgp.ReadKeyRing(bytes.NewReader(m.Keyrings["kubernetes"]))
		if err != nil || len(ring) != 1 || apt.Fingerprint(ring[0]) != o.Repositories[0].Key.Fingerprint {
			t.Errorf("keyring %v (%v)", ring, err)
		}
	}
}

// What is missing, altered, unsigned or signed by another key is refused, from a
// server and from a directory, in words that name the file and the reason.
func TestFetchRefuses(t *testing.T) {
	remove := func(name string) func(*testing.T, string, *bake.Options) {
		return func(t *testing.T, dir string, _ *bake.Options) {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, dir string, o *bake.Options)
		want  string
		local string // what is said in place of want offline; empty: the same
	}{
		{"altered archive", func(t *testing.T, dir string, _ *bake.Options) { put(t, dir, "runc.amd64", "content of runc.amd65") }, "archive runc: not verified: runc.amd64 has the sha256 sum", ""},
		{"truncated archive", func(t *testing.T, dir string, _ *bake.Options) { put(t, dir, "runc.amd64", "content") }, "its 7 bytes were altered or cut short", ""},
		{"missing archive", remove("runc.amd64"), "the server answers 404 Not Found", "there is no file"},
		{"checksum of the options", func(_ *testing.T, _ string, o *bake.Options) {
			o.Archives[1].Checksum = "sha512:" + strings.Repeat("0", 128)
		}, "runc.amd64 has the sha512 sum", ""},
		{"archive that is not in the sums", func(t *testing.T, dir string, o *bake.Options) {
			put(t, dir, "other", "x")
			o.Archives[1].URL = strings.TrimSuffix(o.Archives[1].URL, "runc.amd64") + "other"
		}, "other is not in the signed SHA256SUMS, and the archive has no checksum", ""},
		{"altered sums", func(t *testing.T, dir string, _ *bake.Options) {
			put(t, dir, "SHA256SUMS", strings.Repeat("0", 64)+"  runc.amd64\n")
		}, "sums: verify SHA256SUMS: not verified: its signature is not good", ""},
		{"missing sums", remove("SHA256SUMS"), "sums: fetch", "sums: not verified: there is no file"},
		{"missing signature", remove("SHA256SUMS.asc"), "sums: its signature:", ""},
		{"empty signature", func(t *testing.T, dir string, _ *bake.Options) { put(t, dir, "SHA256SUMS.asc", "") }, "not verified", ""},
		{"sums of another key", func(t *testing.T, dir string, o *bake.Options) {
			k, _ := keys() // shelf has looked at the error
			if err := apt.WriteSums(dir, k[1], "runc.amd64"); err != nil {
				t.Fatal(err)
			}
		}, "it is signed by another key than the pinned", ""},
		{"another key in the file", func(t *testing.T, dir string, o *bake.Options) {
			k, _ := keys()
			if err := apt.WriteKey(filepath.Join(dir, "key.asc"), k[1]); err != nil {
				t.Fatal(err)
			}
		}, "it does not hold the pinned key", ""},
		{"no key in the file", func(t *testing.T, dir string, _ *bake.Options) { put(t, dir, "key.asc", "key") }, "it is no OpenPGP keyring", ""},
	} {
		for _, served := range []bool{true, false} {
			name, want := c.name+" offline", c.want
			if served {
				name = c.name + " served"
			} else if c.local != "" {
				want = c.local
			}
			t.Run(name, func(t *testing.T) {
				dir, o := shelf(t, served)
				c.spoil(t, dir, &o)
				_, err := fetch(t, o)
				if !errors.Is(err, bake.ErrUnverified) || !strings.Contains(err.Error(), want) {
					t.Errorf("%v, want %q and to be ErrUnverified", err, want)
				}
			})
		}
	}
}

func TestFetchRefusesPackagesOutsideTheSums(t *testing.T) {
	dir, o := shelf(t, false)
	put(t, dir, "other.deb", "x")
	put(t, dir, "kubelet.deb", "altered")
	_, err := fetch(t, o)
	for _, want := range []string{"package other.deb: not verified: it is not in the signed SHA256SUMS", "package kubelet.deb: not verified: kubelet.deb has the sha256 sum"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
