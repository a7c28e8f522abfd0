package sign_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/sassoftware/go-rpmutils"

	"github.com/joinery/joinery/release/pack"
	"github.com/joinery/joinery/release/program"
	"github.com/joinery/joinery/release/sign"
)

// throwaway makes a key and returns the file with its armored private part.
func throwaway(t *testing.T, passphrase string) (*openpgp.Entity, string) {
	t.Helper()
	key, err := openpgp.NewEntity("Throwaway", "", "throwaway@example.com", nil)
	if err != nil {
		t.Fatal(err)
	}
	if passphrase != "" {
		if err := key.EncryptPrivateKeys([]byte(passphrase), nil); err != nil {
			t.Fatal(err)
		}
	}
	var text bytes.Buffer
	w, err := armor.Encode(&text, openpgp.PrivateKeyType, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := key.SerializePrivateWithoutSigning(w, nil); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key.asc")
	if err := os.WriteFile(file, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return key, file
}

// release makes a directory with a package of each format.
func release(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(t.TempDir(), "joinery")
	if err := os.WriteFile(file, []byte("program"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, f := range pack.Formats() {
		p := program.Program{Name: program.Operator, Platform: program.Platform{OS: "linux", Arch: "amd64"}, File: file, Version: "v0.3.0", Time: time.Unix(1_800_000_000, 0)}
		if _, err := pack.Write("../..", dir, f, p); err != nil {
			t.Fatal(err)
		}
	}
	if err := sign.Sums(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// sha256sum has the system's own program check the list.
func sha256sum(t *testing.T, dir string) error {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sha256sum", "--check", "--strict", sign.SumsFile)
	cmd.Dir = dir
	return cmd.Run()
}

func contentsOf(t *testing.T, dir, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestReleaseIsTheKeyHolders(t *testing.T) {
	dir := release(t)
	if err := sha256sum(t, dir); err != nil {
		t.Fatalf("before it is signed: %v", err)
	}
	unsigned := contentsOf(t, dir, sign.SumsFile)
	_, file := throwaway(t, "")
	key, err := sign.Key(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := sign.Release(dir, key); err != nil {
		t.Fatal(err)
	}
	if err := sha256sum(t, dir); err != nil {
		t.Errorf("after it was signed: %v", err)
	}
	list := contentsOf(t, dir, sign.SumsFile)
	if lines := strings.Count(string(list), "\n"); lines != 2 || bytes.Equal(list, unsigned) {
		t.Errorf("the list has %d lines, and is as before: %t", lines, bytes.Equal(list, unsigned))
	}
	checkSignatures(t, dir, list, openpgp.EntityList{key})
}

func checkSignatures(t *testing.T, dir string, list []byte, ring openpgp.EntityList) {
	t.Helper()
	other, _ := throwaway(t, "")
	others := openpgp.EntityList{other}
	armored, raw := contentsOf(t, dir, sign.SumsFile+".asc"), contentsOf(t, dir, sign.SumsFile+".sig")
	check := func(ring openpgp.EntityList, list []byte) (int, []error) {
		_, a := openpgp.CheckArmoredDetachedSignature(ring, bytes.NewReader(list), bytes.NewReader(armored), nil)
		_, b := openpgp.CheckDetachedSignature(ring, bytes.NewReader(list), bytes.NewReader(raw), nil)
		good := 0
		for _, err := range []error{a, b} {
			if err == nil {
				good++
			}
		}
		return good, []error{a, b}
	}
	if good, errs := check(ring, list); good != 2 {
		t.Errorf("signatures of the list: %v", errs)
	}
	if good, _ := check(others, list); good != 0 {
		t.Error("another key verifies the list")
	}
	if good, _ := check(ring, append([]byte("0"), list...)); good != 0 {
		t.Error("an altered list is verified")
	}
	packages, err := filepath.Glob(filepath.Join(dir, "*.rpm"))
	if err != nil || len(packages) != 1 {
		t.Fatalf("%v, %v", packages, err)
	}
	text := contentsOf(t, dir, filepath.Base(packages[0]))
	if _, sigs, err := rpmutils.Verify(bytes.NewReader(text), ring); err != nil || len(sigs) == 0 || sigs[0].Signer == nil {
		t.Errorf("the RPM package has %d signatures: %v", len(sigs), err)
	}
	if _, _, err := rpmutils.Verify(bytes.NewReader(text), others); err == nil {
		t.Error("another key verifies the RPM package")
	}
}

func TestSumsFindWhatWasAltered(t *testing.T) {
	dir := release(t)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), sign.SumsFile) {
			continue
		}
		whole := contentsOf(t, dir, e.Name())
		altered := bytes.Clone(whole)
		altered[len(altered)/2] ^= 1
		for i, text := range [][]byte{altered, whole} { // whole again for the next one
			if err := os.WriteFile(filepath.Join(dir, e.Name()), text, 0o644); err != nil {
				t.Fatal(err)
			}
			if err := sha256sum(t, dir); (err == nil) != (i == 1) {
				t.Errorf("%s, altered: %t: %v", e.Name(), i == 0, err)
			}
		}
	}
}

func TestLockedKey(t *testing.T) {
	_, file := throwaway(t, "open")
	if _, err := sign.Key(file, []byte("open")); err != nil {
		t.Error(err)
	}
	for _, wrong := range []string{"", "shut"} {
		if _, err := sign.Key(file, []byte(wrong)); err == nil || !strings.Contains(err.Error(), "unlock signing key") {
			t.Errorf("passphrase %q: %v", wrong, err)
		}
	}
	if _, err := sign.Key("sign_test.go", nil); err == nil {
		t.Error("a text is a key")
	}
}
