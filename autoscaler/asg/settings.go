package asg

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/autoscaler/price"
)

// settings is what an operator sets for one group with tags.
type settings struct {
	price              float64 // 0: not set
	priority, headroom int
	scaleDown          cluster.ScaleDownOverrides
}

// parseSettings reads the settings among a group's tags. The error names every
// tag that cannot be read, its value and what was expected.
func parseSettings(tags map[string]string) (settings, error) {
	var s settings
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		if err := s.add(key, tags[key]); err != nil {
			errs = append(errs, fmt.Errorf("tag %s=%q: %w", key, tags[key], err))
		}
	}
	return s, errors.Join(errs...)
}

func (s *settings) add(key, value string) (err error) {
	switch key {
	case v1alpha1.PriceTag:
		if s.price, err = price.Parse(value); err != nil {
			return fmt.Errorf("expected US dollars an hour, above 0 and at most %d", v1alpha1.MaxPrice)
		}
	case v1alpha1.PriorityTag:
		s.priority, err = whole(value, -v1alpha1.MaxPriority, v1alpha1.MaxPriority)
	case v1alpha1.HeadroomTag:
		s.headroom, err = whole(value, 0, v1alpha1.MaxHeadroom)
	default:
		if option, ok := strings.CutPrefix(key, v1alpha1.GroupOptionTag); ok {
			return s.option(option, value)
		}
	}
	return err
}

func (s *settings) option(name, value string) (err error) {
	o := &s.scaleDown
	switch name {
	case v1alpha1.OptionUtilization:
		o.UtilizationThreshold, err = share(value)
	case v1alpha1.OptionGPUUtilization:
		o.GPUUtilizationThreshold, err = share(value)
	case v1alpha1.OptionUnneededTime:
		o.UnneededTime, err = duration(value)
	case v1alpha1.OptionUnreadyTime:
		o.UnreadyTime, err = duration(value)
	case v1alpha1.OptionIgnoreDaemonSets:
		o.IgnoreDaemonSetsUtilization, err = truth(value)
	}
	return err
}

func whole(text string, low, high int) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < low || n > high {
		return 0, fmt.Errorf("expected a whole number of %d to %d", low, high)
	}
	return n, nil
}

func share(text string) (*float64, error) {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(f) || f < 0 || f > 1 {
		return nil, errors.New("expected a share of 0 to 1, such as 0.5")
	}
	return &f, nil
}

func duration(text string) (*time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return nil, errors.New("expected a duration of 0 or more, such as 10m")
	}
	return &d, nil
}

func truth(text string) (*bool, error) {
	b, err := strconv.ParseBool(text)
	if err != nil {
		return nil, errors.New("expected true or false")
	}
	return &b, nil
}
