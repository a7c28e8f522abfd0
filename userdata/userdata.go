// Package userdata reads and writes what an instance is launched with: a
// NodeConfig of at most ten lines, alone or as one part of the MIME archive
// that cloud-init knows. Parse and Render do no I/O, so that the agent, which
// reads user data out of IMDS, and the controller, which reads it out of a
// launch template, see the same node.
package userdata

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/joinery/joinery/api/v1alpha1"
)

// ContentType marks the part of a MIME archive that holds a NodeConfig.
const ContentType = "application/node.joinery.dev"

const (
	// MaxBytes is what EC2 takes as user data, before base64 ("Run commands
	// when you launch an EC2 instance with user data input").
	MaxBytes = 16 << 10
	// maxUnpacked bounds what gzip may expand to, so that a small document
	// cannot fill the memory of a small instance.
	maxUnpacked = 1 << 20
)

// ErrAbsent says that there is no NodeConfig: the user data is empty, or holds
// things for others only, such as a shell script or a cloud-config. A NodeConfig
// that is there and wrong is another error.
var ErrAbsent = errors.New("user data holds no NodeConfig")

// Parse reads the NodeConfig out of an instance's user data: plain YAML or
// JSON, or one part of type ContentType in a MIME archive whose other parts are
// ignored; the whole may be compressed by gzip, encoded in base64, or both.
//
// Errors are ErrAbsent, *v1alpha1.InvalidError and *v1alpha1.VersionError.
func Parse(raw []byte) (*v1alpha1.NodeConfig, error) {
	if len(raw) > MaxBytes*4/3+4 {
		return nil, invalid("%d bytes of user data: expected at most %d", len(raw), MaxBytes)
	}
	text, err := unwrap(raw)
	if err != nil {
		return nil, err
	}
	if len(text) == 0 {
		return nil, ErrAbsent
	}
	if isMIME(text) {
		return fromMIME(text)
	}
	if isForOthers(text) || !claimsNodeConfig.Match(text) {
		return nil, ErrAbsent
	}
	return decode(text)
}

// unwrap takes gzip and base64 off, at most two layers: a launch template's
// user data is base64 around whatever the operator gave, and tools compress.
func unwrap(raw []byte) ([]byte, error) {
	text := bytes.TrimSpace(raw)
	for range 3 {
		switch {
		case bytes.HasPrefix(raw, []byte{0x1f, 0x8b}):
			unpacked, err := gunzip(raw)
			if err != nil {
				return nil, err
			}
			raw = unpacked
		case onlyBase64(text):
			plain, err := base64.StdEncoding.DecodeString(string(text))
			if err != nil {
				return text, nil
			}
			raw = plain
		default:
			return text, nil
		}
		text = bytes.TrimSpace(raw)
	}
	return text, nil
}

func gunzip(raw []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, invalid("malformed gzip: %v", err)
	}
	text, err := io.ReadAll(io.LimitReader(r, maxUnpacked+1))
	if err != nil {
		return nil, invalid("malformed gzip: %v", err)
	}
	if len(text) > maxUnpacked {
		return nil, invalid("gzip: expands to more than %d bytes", maxUnpacked)
	}
	return text, nil
}

// onlyBase64 tells base64 from every other form: none of a NodeConfig, a MIME
// archive, a script and gzip is made of this alphabet alone.
func onlyBase64(text []byte) bool {
	for _, b := range text {
		letter := b >= 'A' && b <= 'Z' || b >= 'a' && b <= 'z' || b >= '0' && b <= '9'
		if !letter && b != '+' && b != '/' && b != '=' && b != '\n' && b != '\r' {
			return false
		}
	}
	return len(text) > 0
}

// othersMarks begin user data that is for cloud-init or EC2Launch (cloud-init:
// "User-data formats").
var othersMarks = []string{"#!", "#cloud-", "#include", "#part-handler", "#upstart-job", "## template:", "<script>", "<powershell>"}

func isForOthers(text []byte) bool {
	for _, m := range othersMarks {
		if strings.HasPrefix(string(text[:min(len(text), len(m))]), m) {
			return true
		}
	}
	return false
}

// claimsNodeConfig tells a NodeConfig, even a malformed one, from any other
// document: a typing error must be reported and not be taken for absence.
var claimsNodeConfig = regexp.MustCompile(`(apiVersion["']?\s*:\s*["']?joinery\.dev/|kind["']?\s*:\s*["']?NodeConfig\b)`)

// furtherDocument begins a second YAML document, which a decoder would ignore.
var furtherDocument = regexp.MustCompile(`(?m)\S\s*^---(\s|$)`)

func decode(text []byte) (*v1alpha1.NodeConfig, error) {
	if furtherDocument.Match(text) {
		return nil, invalid("several YAML documents: expected one")
	}
	return v1alpha1.DecodeNodeConfig(text)
}

func invalid(detail string, args ...any) error {
	return &v1alpha1.InvalidError{Kind: v1alpha1.KindNodeConfig, Problems: []v1alpha1.Problem{{Detail: fmt.Sprintf(detail, args...)}}}
}
