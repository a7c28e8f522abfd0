package main

import (
	"fmt"
	"io/fs"
	"os"

	"github.com/joinery/joinery/release/archive"
	"github.com/joinery/joinery/systemd"
)

func add(files archive.Files, from, to string, mode fs.FileMode) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return fmt.Errorf("archive %s: %w", to, err)
	}
	files[to] = archive.File{Data: data, Mode: mode}
	return nil
}

func addUnits(files archive.Files) error {
	for _, name := range systemd.Names() {
		text, err := systemd.Unit(name)
		if err != nil {
			return err
		}
		files["systemd/"+name] = archive.File{Data: text, Mode: 0o644}
	}
	return nil
}
