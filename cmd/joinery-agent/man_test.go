package main

import (
	"flag"
	"testing"

	"github.com/joinery/joinery/docs/man"
)

var update = flag.Bool("update", false, "write the manual pages anew; the run then fails")

func TestManual(t *testing.T) {
	man.Check(t, "../../docs/man", root(), "8", *update)
}
