// Package bill writes the bill of materials of a program, in the format of CycloneDX:
// the modules that the toolchain itself recorded in it.
package bill

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/CycloneDX/cyclonedx-go"
	"github.com/google/uuid"

	"github.com/joinery/joinery/release/program"
)

// Write writes the bill of p to path. Equal programs give equal bills.
func Write(path string, p program.Program) error {
	b, err := Of(p)
	if err != nil {
		return fmt.Errorf("write bill of %s: %w", p.Name, err)
	}
	out, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write bill of %s: %w", p.Name, err)
	}
	defer out.Close()
	if err := cyclonedx.NewBOMEncoder(out, cyclonedx.BOMFileFormatJSON).SetPretty(true).Encode(b); err != nil {
		return fmt.Errorf("write bill of %s: %w", p.Name, err)
	}
	return out.Close()
}

// Of returns the bill of p.
func Of(p program.Program) (*cyclonedx.BOM, error) {
	build, err := buildinfo.ReadFile(p.File)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(p.File)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(data)
	b := cyclonedx.NewBOM()
	// A serial number that is drawn would make two releases of one commit differ.
	b.SerialNumber = "urn:uuid:" + uuid.NewSHA1(uuid.NameSpaceOID, sum[:]).String()
	main := component(&build.Main)
	main.Type, main.Name = cyclonedx.ComponentTypeApplication, p.Name
	main.Hashes = &[]cyclonedx.Hash{{Algorithm: cyclonedx.HashAlgoSHA256, Value: hex.EncodeToString(sum[:])}}
	b.Metadata = &cyclonedx.Metadata{Timestamp: p.Time.Format(time.RFC3339), Component: &main}
	parts := []cyclonedx.Component{{
		Type: cyclonedx.ComponentTypeLibrary, Name: "std", Version: build.GoVersion,
		BOMRef: "std", PackageURL: "pkg:golang/std@" + strings.TrimPrefix(build.GoVersion, "go"),
	}}
	refs := []string{"std"}
	for _, d := range build.Deps {
		c := component(d)
		parts, refs = append(parts, c), append(refs, c.BOMRef)
	}
	b.Components = &parts
	b.Dependencies = &[]cyclonedx.Dependency{{Ref: main.BOMRef, Dependencies: &refs}}
	return b, nil
}

// component describes a module, or what was compiled in its place.
func component(m *debug.Module) cyclonedx.Component {
	if m.Replace != nil {
		m = m.Replace
	}
	at := (&url.URL{Path: m.Path}).EscapedPath() + "@" + url.PathEscape(m.Version)
	c := cyclonedx.Component{Type: cyclonedx.ComponentTypeLibrary, Name: m.Path, Version: m.Version, BOMRef: at, PackageURL: "pkg:golang/" + at}
	if m.Sum != "" {
		// The sum of a module's files, as go.sum has it; no hash of one file.
		c.Properties = &[]cyclonedx.Property{{Name: "go:sum", Value: m.Sum}}
	}
	return c
}
