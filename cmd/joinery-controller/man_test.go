package main

import (
	"io"
	"testing"

	"github.com/joinery/joinery/docs/man"
)

func TestManual(t *testing.T) {
	man.Check(t, "../../docs/man", command(io.Discard, io.Discard), "8", *update)
}
