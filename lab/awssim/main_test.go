package awssim_test

import (
	"os"
	"testing"

	"github.com/joinery/joinery/lab/awssim"
)

// TestMain leaves the weather to each test of the simulation itself, whatever the
// rest is run under.
func TestMain(m *testing.M) {
	os.Unsetenv(awssim.HarshVariable)
	os.Exit(m.Run())
}
