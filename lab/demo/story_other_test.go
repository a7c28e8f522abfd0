//go:build !linux

package demo_test

import (
	"testing"

	"github.com/joinery/joinery/lab/labtest"
)

// TestStory says why the story is left out here, and fails under CI=true.
func TestStory(t *testing.T) { labtest.Require(t) }
