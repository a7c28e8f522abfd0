package main

import (
	"context"
	"path/filepath"
	"strings"

	"github.com/joinery/joinery/release/archive"
	"github.com/joinery/joinery/release/bill"
	"github.com/joinery/joinery/release/program"
	"github.com/joinery/joinery/release/sign"
)

// plugins writes packer's plugin as `packer init` expects it in a release of a repository
// named after the plugin: an archive for each platform and a list of checksums of its own.
func (r request) plugins(ctx context.Context, work, version string) error {
	prefix := ""
	for _, p := range r.platforms {
		built, err := program.BuildPlugin(ctx, r.root, filepath.Join(work, program.Plugin), version, p)
		if err != nil {
			return err
		}
		files := archive.Files{}
		name := filepath.Base(built.File)
		if err := add(files, built.File, name, 0o755); err != nil {
			return err
		}
		path := filepath.Join(r.out, strings.TrimSuffix(name, ".exe"))
		if err := archive.WriteZip(path+".zip", files, built.Time); err != nil {
			return err
		}
		prefix = program.Plugin + "_" + built.Version
		if err := bill.Write(filepath.Join(r.out, prefix+"_"+p.String()+".cdx.json"), built); err != nil {
			return err
		}
	}
	return sign.SumsOf(r.out, prefix+"_"+sign.SumsFile, func(name string) bool {
		return strings.HasPrefix(name, prefix+"_") && strings.HasSuffix(name, ".zip")
	})
}
