package v1alpha1_test

import (
	"strings"
	"testing"
	"time"

	"github.com/joinery/joinery/api/v1alpha1"
)

const minimalController = `
apiVersion: joinery.dev/v1alpha1
kind: ControllerConfig
spec: {cluster: demo, endpoint: "10.99.0.11:6443"`

func TestControllerConfigDefaults(t *testing.T) {
	c, err := v1alpha1.DecodeControllerConfig([]byte(minimalController + "}"))
	if err != nil {
		t.Fatal(err)
	}
	s := c.Spec
	if s.Token.Schedule != "@hourly" || s.Token.TTL.Duration != 90*time.Minute || s.Bundle.Parameter != "/joinery/demo/join" {
		t.Errorf("token and bundle: %+v %+v", s.Token, s.Bundle)
	}
	if s.Autoscaler.ScaleDown.UnneededTime.Duration != 10*time.Minute || s.Autoscaler.BatchIdle.Duration != 250*time.Millisecond {
		t.Errorf("autoscaler: %+v", s.Autoscaler)
	}
}

func TestControllerConfigProblems(t *testing.T) {
	for name, tc := range map[string]struct{ spec, want string }{
		"schedule is no cron expression":  {`, token: {schedule: hourly}}`, "spec.token.schedule: \"hourly\": expected a cron expression"},
		"token dies before the next one":  {`, token: {ttl: 60m}}`, "spec.token.ttl: \"1h0m0s\": expected at least 1h5m0s: the schedule's longest pause is 1h0m0s"},
		"schedule rests over the weekend": {`, token: {schedule: "0 * * * 1-5", ttl: 2h}}`, "the schedule's longest pause is 49h0m0s"},
		"window too long":                 {`, autoscaler: {batchIdle: 2s}}`, "spec.autoscaler.batchIdle: \"2s\": expected 1ms to 1s"},
		"negative parallelism":            {`, autoscaler: {scaleDown: {maxParallel: -1}}}`, "spec.autoscaler.scaleDown.maxParallel: \"-1\": expected 1 or more"},
		"unknown field deep down":         {`, autoscaler: {scaleDown: {delay: 1s}}}`, "spec.autoscaler.scaleDown.delay: unknown field"},
		"address without port":            {`, metricsAddress: localhost}`, "spec.metricsAddress: \"localhost\": expected host:port"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := v1alpha1.DecodeControllerConfig([]byte(minimalController + tc.spec))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v\nwant one that says %s", err, tc.want)
			}
		})
	}
}

func FuzzDecodeControllerConfig(f *testing.F) {
	f.Add([]byte(minimalController + "}"))
	f.Add([]byte(minimalController + `, token: {schedule: "*/5 * * * *"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := v1alpha1.DecodeControllerConfig(data)
		if err == nil && c.Spec.Token.TTL.Duration <= 0 {
			t.Errorf("accepted a token without life: %+v", c.Spec.Token)
		}
	})
}
