//go:build !linux

package soak_test

import (
	"testing"

	"github.com/joinery/joinery/lab/labtest"
)

// TestSoak says why the test is left out here, and fails under CI=true.
func TestSoak(t *testing.T) { labtest.Require(t) }
