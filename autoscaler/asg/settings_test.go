package asg

import (
	"strings"
	"testing"
	"time"

	"github.com/joinery/joinery/api/v1alpha1"
)

const options = "k8s.io/cluster-autoscaler/node-template/autoscaling-options/"

func TestSettings(t *testing.T) {
	s, err := parseSettings(map[string]string{
		v1alpha1.PriceTag: "0.035", v1alpha1.PriorityTag: "-3", v1alpha1.HeadroomTag: "2",
		options + "scaledownutilizationthreshold": "0", options + "scaledowngpuutilizationthreshold": "0.9",
		options + "scaledownunneededtime": "1m0s", options + "scaledownunreadytime": "90s", options + "ignoredaemonsetsutilization": "true",
		options + "maxnodeprovisiontime": "read by nobody", "joinery:cluster": "demo",
	})
	if err != nil {
		t.Fatal(err)
	}
	o := s.scaleDown
	if s.price != 0.035 || s.priority != -3 || s.headroom != 2 || *o.UtilizationThreshold != 0 || *o.GPUUtilizationThreshold != 0.9 ||
		*o.UnneededTime != time.Minute || *o.UnreadyTime != 90*time.Second || !*o.IgnoreDaemonSetsUtilization {
		t.Errorf("read %+v, %+v", s, o)
	}
}

func TestSettingsNameEveryBadTag(t *testing.T) {
	bad := map[string]string{
		v1alpha1.PriceTag: "free", v1alpha1.PriorityTag: "high", v1alpha1.HeadroomTag: "1001",
		options + "scaledownutilizationthreshold": "50", options + "scaledowngpuutilizationthreshold": "NaN",
		options + "scaledownunneededtime": "10", options + "scaledownunreadytime": "-1m", options + "ignoredaemonsetsutilization": "yes",
	}
	_, err := parseSettings(bad)
	if err == nil {
		t.Fatal("no error")
	}
	for key, value := range bad {
		if want := "tag " + key + `="` + value + `": expected `; !strings.Contains(err.Error(), want) {
			t.Errorf("error does not say %s:\n%v", want, err)
		}
	}
	if s, err := parseSettings(map[string]string{v1alpha1.HeadroomTag: "many", options + "scaledownunreadytime": "never"}); err == nil || s.headroom != 0 || s.scaleDown.UnreadyTime != nil {
		t.Errorf("what cannot be read was kept: %+v, %v", s, err)
	}
}

func FuzzSettings(f *testing.F) {
	f.Add(v1alpha1.PriceTag, "0.1")
	f.Add(v1alpha1.HeadroomTag, "-1")
	f.Add(options+"scaledownutilizationthreshold", "Inf")
	f.Add(options+"scaledownunneededtime", "9999999h")
	f.Fuzz(func(t *testing.T, key, value string) {
		s, err := parseSettings(map[string]string{key: value})
		if err != nil && !strings.Contains(err.Error(), "expected") {
			t.Errorf("error does not say what was expected: %v", err)
		}
		u, d := s.scaleDown.UtilizationThreshold, s.scaleDown.UnneededTime
		if !(s.price >= 0) || s.headroom < 0 || s.headroom > v1alpha1.MaxHeadroom || (u != nil && !(*u >= 0 && *u <= 1)) || (d != nil && *d < 0) {
			t.Errorf("read %+v", s)
		}
	})
}
