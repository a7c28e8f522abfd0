package binaries

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/joinery/joinery/internal/download"
	"github.com/joinery/joinery/lab/progress"
)

// shelf is a release archive: path below the programs' directory -> answer.
type shelf map[string]http.HandlerFunc

func says(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) }
}

func sumOf(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text))) }

// put shelves a program with its sum.
func (s shelf) put(name, text string) { s[name], s[name+".sha256"] = says(text), says(sumOf(text)) }

const shelved = "/release/v1.2.3/bin/" + runtime.GOOS + "/" + runtime.GOARCH + "/"

// archive is a server of two programs, and a component of these.
type archive struct {
	component
	Options
	base  *http.Transport // trusts the server
	notes []string        // what is said
}

// patiently is for servers that answer, however slowly this computer runs.
var patiently = download.Limits{Connect: time.Minute, Answer: time.Minute, Silence: time.Minute}

// newArchive serves a shelf with two programs after spoil has changed it.
func newArchive(t *testing.T, spoil func(shelf)) *archive {
	t.Helper()
	s := shelf{}
	s.put("one", "program one")
	s.put("two", "program two")
	if spoil != nil {
		spoil(s)
	}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := s[strings.TrimPrefix(r.URL.Path, shelved)]
		if answer == nil {
			answer = http.NotFound
		}
		answer(w, r)
	}))
	t.Cleanup(server.Close)
	a := &archive{base: server.Client().Transport.(*http.Transport)}
	a.component = component{name: "c", module: "m", release: "v1.2.3", inputs: []string{"go.mod"}, programs: []program{{"one", "."}, {"two", "."}}}
	a.Options = Options{Root: t.TempDir(), Cache: t.TempDir(), Archive: server.URL + "/release", client: patiently.Client(a.base), Report: func(e progress.Event) {
		if e.State == progress.Noted {
			a.notes = append(a.notes, e.Step)
		}
	}}
	return a
}

func TestDownload(t *testing.T) {
	plain := httptest.NewServer(says("program one"))
	defer plain.Close()
	for name, c := range map[string]struct {
		spoil func(shelf)
		want  string // of the reason to build; "": it is downloaded
	}{
		"good":                  {nil, ""},
		"sums as sha256sum has": {func(s shelf) { s["two.sha256"] = says(sumOf("program two") + " *two\n") }, ""},
		"redirected": {func(s shelf) {
			s["elsewhere"] = s["one"]
			s["one"] = func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, shelved+"elsewhere", http.StatusFound)
			}
		}, ""},
		"redirected in a circle": {func(s shelf) {
			s["one"] = func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, shelved+"one", http.StatusFound) }
		}, "stopped after 10 redirects"},
		"redirected away from TLS": {func(s shelf) {
			s["one"] = func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, plain.URL, http.StatusFound) }
		}, "address " + plain.URL + ": expected one with https"},
		"altered":           {func(s shelf) { s["two"] = says("program twO") }, "download two: not verified: two has the sha256 sum"},
		"truncated":         {func(s shelf) { s["two"] = says("program") }, "its 7 bytes were altered or cut short"},
		"connection broken": {func(s shelf) { s["two"] = breaks }, "download two: unexpected EOF"},
		"missing":           {func(s shelf) { delete(s, "two") }, "two: not verified: the server answers 404 Not Found"},
		"missing sum":       {func(s shelf) { delete(s, "one.sha256") }, "download one: its sum: fetch"},
		"sum of another":    {func(s shelf) { s["one.sha256"] = says(sumOf("program one") + "  two") }, "one.sha256 is no SHA-256 sum of one"},
		"weak sum":          {func(s shelf) { s["one.sha256"] = says("d41d8cd98f00b204e9800998ecf8427e") }, "one.sha256 is no SHA-256 sum of one"},
		"no sum but a page": {func(s shelf) { s["one.sha256"] = says("<html>Log in first</html>") }, "one.sha256 is no SHA-256 sum of one"},
		"empty sum":         {func(s shelf) { s["one.sha256"] = says("") }, "one.sha256 is no SHA-256 sum of one"},
		"server error": {func(s shelf) {
			s["one.sha256"] = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }
		}, "the server answers 503 Service Unavailable"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newArchive(t, c.spoil)
			at, ok, err := a.download(t.Context(), a.Options)
			if err != nil || ok != (c.want == "") {
				t.Fatalf("downloaded: %v (%v), said %q", ok, err, a.notes)
			}
			want := "c v1.2.3 is built from Go modules: download "
			if ok {
				want = "c v1.2.3 is downloaded from " + a.Archive + ": its programs agree with the sums published beside them"
			}
			if len(a.notes) != 1 || !strings.HasPrefix((a.notes)[0], want) || !strings.Contains((a.notes)[0], c.want) {
				t.Errorf("said %q, want %q with %q", a.notes, want, c.want)
			}
			held(t, a, at, ok)
		})
	}
}

// breaks announces more than it sends.
func breaks(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "11")
	_, _ = io.WriteString(w, "program")
}

// held checks that the cache holds all programs or nothing but a lock.
func held(t *testing.T, a *archive, at place, all bool) {
	t.Helper()
	want := map[string]string{}
	if all {
		want = map[string]string{"one": "program one", "two": "program two"}
	}
	got := map[string]string{}
	err := filepath.WalkDir(a.Cache, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || path == at.dir+".lock" {
			return err
		}
		info, err := d.Info()
		if err != nil || info.Mode().Perm() != 0o755 || filepath.Dir(path) != at.dir {
			t.Errorf("%s lies in the cache: %v, %v", path, info, err)
		}
		text, err := os.ReadFile(path)
		got[d.Name()] = string(text)
		return err
	})
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("the cache has %v, want %v (%v)", got, want, err)
	}
	if at.complete(a.component) != all {
		t.Errorf("complete: %v", !all)
	}
}

// Pins are believed instead of what the archive publishes.
func TestDownloadPinned(t *testing.T) {
	pins := sumOf("program one") + "  one\n" + sumOf("program two") + "  two\n"
	for name, c := range map[string]struct {
		pins  string
		spoil func(shelf)
		want  string
	}{
		"without published sums":  {pins, func(s shelf) { delete(s, "one.sha256"); delete(s, "two.sha256") }, "agree with the sums that m/SHA256SUMS pins"},
		"altered with its sum":    {pins, func(s shelf) { s.put("two", "program twO") }, "is built from Go modules: download two: not verified: two has the sha256 sum"},
		"a program is not pinned": {sumOf("program one") + "  one\n", nil, "is built from Go modules: download two: not verified: m/SHA256SUMS does not pin it"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newArchive(t, c.spoil)
			put(t, a.Root, "m/SHA256SUMS", c.pins)
			at, ok, err := a.download(t.Context(), a.Options)
			if err != nil || len(a.notes) != 1 || !strings.Contains((a.notes)[0], c.want) {
				t.Errorf("%v, said %q, want %q", err, a.notes, c.want)
			}
			held(t, a, at, ok)
			if unpinned := (released{c: a.component}).place(a.Options); unpinned == at {
				t.Error("what was downloaded without pins serves with them")
			}
		})
	}
	a := newArchive(t, nil)
	put(t, a.Root, "m/SHA256SUMS", "x")
	if _, _, err := a.download(t.Context(), a.Options); err == nil || !strings.Contains(err.Error(), "pinned sums: read m/SHA256SUMS") {
		t.Errorf("invalid pins give %v", err)
	}
	a.component.unpinned = true // they are of another release
	at, ok, err := a.download(t.Context(), a.Options)
	if err != nil {
		t.Errorf("another release's pins give %v", err)
	}
	held(t, a, at, ok)
}

// An archive that cannot be reached, or goes silent at any point, is given up.
func TestDownloadUnreachable(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	foreign := httptest.NewUnstartedServer(says("program"))
	foreign.Config.ErrorLog = log.New(io.Discard, "", 0) // of the handshake that fails
	foreign.StartTLS()
	defer foreign.Close()
	hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	stall := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "prog")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
	const soon = 20 * time.Millisecond
	for name, c := range map[string]struct {
		limits  download.Limits
		spoil   func(shelf)
		address string // in place of the archive's
		want    string
	}{
		"no handshake":     {download.Limits{Connect: soon, Answer: time.Minute, Silence: time.Minute}, nil, "https://" + silent.Addr().String(), "TLS handshake timeout"},
		"no answer":        {download.Limits{Connect: time.Minute, Answer: soon, Silence: time.Minute}, func(s shelf) { s["one"] = hang }, "", "timeout awaiting response headers"},
		"silent half way":  {download.Limits{Connect: time.Minute, Answer: time.Minute, Silence: soon}, func(s shelf) { s["one"] = stall }, "", "the server went silent: nothing came for 20ms"},
		"nobody listens":   {patiently, nil, "https://127.0.0.1:1", "connection refused"},
		"a foreign server": {patiently, nil, "https://" + foreign.Listener.Addr().String(), "certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newArchive(t, c.spoil)
			if c.address != "" {
				a.Archive, a.base = c.address, &http.Transport{}
			}
			a.client = c.limits.Client(a.base)
			at, ok, err := a.download(t.Context(), a.Options)
			if ok || err != nil || len(a.notes) != 1 || !strings.Contains((a.notes)[0], c.want) {
				t.Errorf("downloaded: %v (%v), said %q, want %q", ok, err, a.notes, c.want)
			}
			held(t, a, at, false)
		})
	}
}

// Build and Load agree on where the programs are, whichever way they came.
func TestProvide(t *testing.T) {
	a := newArchive(t, nil)
	put(t, a.Root, "m/go.mod", "module example.com/m\n\ngo 1.26\n")
	put(t, a.Root, "m/main.go", "package main\n\nfunc main() {}\n")
	if _, err := a.find(t.Context(), a.Options); !errors.Is(err, ErrNotBuilt) {
		t.Errorf("an empty cache gives %v", err)
	}
	provide := func(o Options) place {
		t.Helper()
		at, err := a.provide(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if found, err := a.find(t.Context(), o); err != nil || found != at {
			t.Errorf("found at %v, provided at %v (%v)", found, at, err)
		}
		return at
	}
	downloaded := provide(a.Options)
	held(t, a, downloaded, true)
	if again := provide(a.Options); again != downloaded || len(a.notes) != 1 {
		t.Errorf("the second time: %v, said %q", again, a.notes)
	}
	closed := a.Options
	closed.Archive = ""
	built := provide(closed)
	if built.key == downloaded.key || built.dir == downloaded.dir {
		t.Errorf("what is built lies with what was downloaded: %v", built)
	}
	if again := provide(a.Options); again != built {
		t.Errorf("what was built is not used: %v", again)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b := newArchive(t, nil)
	put(t, b.Root, "m/go.mod", "module example.com/m\n\ngo 1.26\n")
	if _, err := b.provide(ctx, b.Options); !errors.Is(err, context.Canceled) || len(b.notes) > 0 {
		t.Errorf("a cancelled download gives %v, said %q", err, b.notes)
	}
}

// A download that was killed leaves a partial directory, which serves nobody and
// is cleared away.
func TestDownloadKilled(t *testing.T) {
	a := newArchive(t, nil)
	r, ok, err := a.released(a.Options)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	at := r.place(a.Options)
	put(t, at.dir+".partial", "one", "prog")
	put(t, at.dir+".partial", "verified-1", "pro")
	if at.complete(a.component) {
		t.Error("half a download counts")
	}
	_, ok, err = a.download(t.Context(), a.Options)
	if err != nil || !ok {
		t.Fatalf("%v, said %q", err, a.notes)
	}
	held(t, a, at, true)
}

// What is in the cache stays good: what a component is built of decides its key,
// not where else it could come from.
func TestReleaseIsNotInTheKey(t *testing.T) {
	root := t.TempDir()
	put(t, root, "m/go.mod", "module m\n")
	c := component{name: "c", module: "m", inputs: []string{"go.mod"}}
	before, err := c.key(root, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.release = "v1"
	put(t, root, "m/SHA256SUMS", "")
	if after, err := c.key(root, nil); err != nil || after != before {
		t.Errorf("the key was %s and is %s (%v)", before, after, err)
	}
}

func TestArchive(t *testing.T) {
	for value, want := range map[string]string{
		"":                            "https://dl.k8s.io/release",
		"none":                        "",
		"https://mirror.example/k8s/": "https://mirror.example/k8s",
	} {
		t.Setenv("JOINERY_KUBERNETES_ARCHIVE", value)
		if got, err := Archive(); err != nil || got != want {
			t.Errorf("%q gives %q, %v", value, got, err)
		}
	}
	for _, value := range []string{"http://mirror.example", "mirror.example", "https://", "https://a:secret@mirror.example", "https://mirror.example/?sig=secret", "https://mirror.example#secret", "None"} {
		t.Setenv("JOINERY_KUBERNETES_ARCHIVE", value)
		if _, err := Archive(); err == nil || !strings.Contains(err.Error(), "JOINERY_KUBERNETES_ARCHIVE: ") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q gives %v", value, err)
		}
	}
}
