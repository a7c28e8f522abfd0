package wait_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/joinery/joinery/internal/wait"
)

func TestFor(t *testing.T) {
	waited := func(ctx context.Context) (time.Duration, error) {
		began := time.Now()
		err := wait.For(ctx, time.Hour)
		return time.Since(began), err
	}
	synctest.Test(t, func(t *testing.T) {
		if took, err := waited(t.Context()); err != nil || took != time.Hour {
			t.Errorf("waited %s: %v", took, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if took, err := waited(ctx); !errors.Is(err, context.DeadlineExceeded) || took != time.Minute {
			t.Errorf("waited %s: %v", took, err)
		}
	})
}
