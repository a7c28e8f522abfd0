package main

import (
	"io"
	"strings"
	"testing"
)

func TestMisuse(t *testing.T) {
	for args, want := range map[string]string{
		"build --platform linux": `--platform: "linux": expected one such as linux/arm64`,
		"build --only zip":       `--only: "zip": expected some of [deb rpm]`,
		"sign":                   `required flag(s) "key" not set`,
		"sign --key nowhere.asc": "read signing key",
		"build everything":       "unknown command",
	} {
		c := command()
		c.SetOut(io.Discard)
		c.SetErr(io.Discard)
		c.SetArgs(strings.Fields(args))
		if err := c.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", args, err, want)
		}
	}
}
