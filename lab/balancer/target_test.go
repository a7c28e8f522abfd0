package balancer

import "testing"

func TestJudge(t *testing.T) {
	for _, tc := range []struct {
		state  State
		checks string // + is well, - is not
		want   State
	}{
		{Initial, "", Initial},
		{Initial, "+", Healthy},
		{Initial, "-", Initial},
		{Initial, "-+", Healthy},
		{Initial, "--", Unhealthy},
		{Healthy, "-", Healthy},
		{Healthy, "-+-", Healthy},
		{Healthy, "--", Unhealthy},
		{Unhealthy, "++", Unhealthy},
		{Unhealthy, "++-++", Unhealthy},
		{Unhealthy, "+++", Healthy},
		{Healthy, "--+++", Healthy},
		{Draining, "----++++", Draining},
	} {
		state, streak := tc.state, 0
		for _, c := range tc.checks {
			state, streak = judge(state, streak, c == '+', 3, 2)
		}
		if state != tc.want {
			t.Errorf("%s after %q: %s, expected %s", tc.state, tc.checks, state, tc.want)
		}
	}
}
