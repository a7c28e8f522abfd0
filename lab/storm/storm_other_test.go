//go:build !linux

package storm_test

import (
	"testing"

	"github.com/joinery/joinery/lab/labtest"
)

// TestStormOfFalseRequests says why the test is left out here, and fails under
// CI=true.
func TestStormOfFalseRequests(t *testing.T) { labtest.Require(t) }
