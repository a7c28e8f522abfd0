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
spec: {cluster: demo, endpoint: "10.99.0.11:6443", approver: {nodeRoles: [joinery-node]}`

func TestControllerConfigDefaults(t *testing.T) {
	c, err := v1alpha1.DecodeControllerConfig([]byte(minimalController + "}"))
	if err != nil {
		t.Fatal(err)
	}
	s := c.Spec
	if s.Token.Schedule != "@hourly" || s.Token.TTL.Duration != 3*time.Hour || s.Token.Jitter.Duration != 5*time.Minute || s.Approver.STSProof != v1alpha1.ProofRequire || s.Approver.Proof != v1alpha1.ProofAny || s.Lifecycle.LaunchHook != "joinery-launch" || s.Bundle.Parameter != "/joinery/demo/join" {
		t.Errorf("token and bundle: %+v %+v", s.Token, s.Bundle)
	}
	if s.Autoscaler.ScaleDown.UnneededTime.Duration != 10*time.Minute || s.Autoscaler.BatchIdle.Duration != 250*time.Millisecond {
		t.Errorf("autoscaler: %+v", s.Autoscaler)
	}
}

func TestAutoscalerSettings(t *testing.T) {
	c, err := v1alpha1.DecodeControllerConfig([]byte(minimalController + "}"))
	if err != nil {
		t.Fatal(err)
	}
	a := c.Spec.Autoscaler
	if a.Limits.MemoryBytes() != 0 || *a.ScaleDown.UtilizationThreshold != 0.5 || a.ScaleDown.DelayAfterDelete.Duration != 0 ||
		a.ScaleDown.DelayAfterFailure.Duration != 3*time.Minute || a.ScaleDown.UnreadyTime.Duration != 20*time.Minute || a.ScaleDown.MaxHold.Duration != 168*time.Hour {
		t.Errorf("defaults are %+v", a)
	}
	c, err = v1alpha1.DecodeControllerConfig([]byte(minimalController + `, autoscaler: {prices: /etc/joinery/prices.csv, startupTaints: [readiness.example/*, example.com/not-, plain], limits: {maxNodes: 5, cores: 40, memory: 2Ti}, scaleDown: {utilizationThreshold: 0, maxHold: 0s, moveLocalStorage: true}}}`))
	if err != nil {
		t.Fatal(err)
	}
	a = c.Spec.Autoscaler
	if a.Limits.MemoryBytes() != 2<<40 || *a.ScaleDown.UtilizationThreshold != 0 || a.ScaleDown.MaxHold.Duration != 0 || !a.ScaleDown.MoveLocalStorage || a.Prices != "/etc/joinery/prices.csv" || len(a.StartupTaints) != 3 {
		t.Errorf("decoded %+v", a)
	}
}

func TestControllerConfigProblems(t *testing.T) {
	for name, tc := range map[string]struct{ spec, want string }{
		"schedule is no cron expression":   {`, token: {schedule: hourly}}`, "spec.token.schedule: \"hourly\": expected a cron expression"},
		"token dies before the next one":   {`, token: {ttl: 60m}}`, "spec.token.ttl: \"1h0m0s\": expected at least 1h10m0s: the schedule's longest pause is 1h0m0s, a rotation may be 5m0s late"},
		"schedule rests over the weekend":  {`, token: {schedule: "0 * * * 1-5", ttl: 2h}}`, "the schedule's longest pause is 49h0m0s"},
		"jitter of a whole pause":          {`, token: {jitter: 45m}}`, "spec.token.jitter: \"45m0s\": expected 0s to 30m0s"},
		"hook with a blank":                {`, lifecycle: {launchHook: "a b"}}`, "spec.lifecycle.launchHook: \"a b\": expected 1 to 255 letters"},
		"queue by its ARN":                 {`, lifecycle: {queueURL: "arn:aws:sqs:us-west-2:123456789012:q"}}`, "spec.lifecycle.queueURL: \"arn:aws:sqs:us-west-2:123456789012:q\": expected the URL of an SQS queue"},
		"one name for two hooks":           {`, lifecycle: {terminateHook: joinery-launch}}`, "spec.lifecycle.terminateHook: \"joinery-launch\": expected another name"},
		"legacy parameter is the bundle's": {`, bundle: {legacyTokenParameter: /joinery/demo/join}}`, "spec.bundle.legacyTokenParameter: \"/joinery/demo/join\": expected another parameter"},
		"window too long":                  {`, autoscaler: {batchIdle: 2s}}`, "spec.autoscaler.batchIdle: \"2s\": expected 1ms to 1s"},
		"negative parallelism":             {`, autoscaler: {scaleDown: {maxParallel: -1}}}`, "spec.autoscaler.scaleDown.maxParallel: \"-1\": expected 1 or more"},
		"no drains at all":                 {`, autoscaler: {scaleDown: {maxDrains: -1}}}`, "spec.autoscaler.scaleDown.maxDrains: \"-1\": expected 1 or more"},
		"grace of a month":                 {`, autoscaler: {scaleDown: {maxGrace: 720h}}}`, "spec.autoscaler.scaleDown.maxGrace: \"720h0m0s\": expected 1s to 168h0m0s"},
		"a priority twice":                 {`, autoscaler: {scaleDown: {drainPriorities: [{priority: 5, grace: 1m}, {priority: 7, grace: -1m}, {priority: 5, grace: 2m}]}}}`, `spec.autoscaler.scaleDown.drainPriorities[1].grace: "-1m0s": expected 0s to 168h0m0s; spec.autoscaler.scaleDown.drainPriorities[2].priority: "5": expected another priority than that of spec.autoscaler.scaleDown.drainPriorities[0]`},
		"threshold beyond the whole":       {`, autoscaler: {scaleDown: {utilizationThreshold: 50}}}`, "spec.autoscaler.scaleDown.utilizationThreshold: \"50\": expected a share of 0 to 1"},
		"hold of a second":                 {`, autoscaler: {scaleDown: {maxHold: 1s}}}`, "spec.autoscaler.scaleDown.maxHold: \"1s\": expected 1m0s to 8760h0m0s"},
		"failure forgotten in the past":    {`, autoscaler: {scaleDown: {delayAfterFailure: -3m}}}`, "spec.autoscaler.scaleDown.delayAfterFailure: \"-3m0s\": expected 1s to 24h0m0s"},
		"relative path":                    {`, autoscaler: {prices: prices.csv}}`, "spec.autoscaler.prices: \"prices.csv\": expected an absolute path"},
		"all limits at once":               {`, autoscaler: {limits: {maxNodes: -1, cores: -2, memory: lots}}}`, `spec.autoscaler.limits.maxNodes: "-1": expected 0 or more nodes; spec.autoscaler.limits.cores: "-2": expected 0 or more cores; spec.autoscaler.limits.memory: "lots": expected a quantity`},
		"taint that is every taint":        {`, autoscaler: {startupTaints: ["example.com/", ""], statusTaints: ["*"]}}`, `spec.autoscaler.startupTaints[1]: expected the key of a taint or its beginning, such as example.com/ or example.com/not-*; spec.autoscaler.statusTaints[0]: "*": expected`},
		"limits of unready nodes":          {`, autoscaler: {maxTotalUnreadyPercentage: 101, okTotalUnreadyCount: -1, scaleDown: {minReplicaCount: -2}}}`, `spec.autoscaler.scaleDown.minReplicaCount: "-2": expected 0 or more replicas; spec.autoscaler.maxTotalUnreadyPercentage: "101": expected a percentage of 0 to 100; spec.autoscaler.okTotalUnreadyCount: "-1": expected 0 or more nodes`},
		"balance of nothing":               {`, autoscaler: {balancingIgnoreLabels: [rack, "a b"], balancingMemoryRatio: -1, balancingAllocatableRatio: 5, balancingFreeRatio: 2}}`, `spec.autoscaler.balancingIgnoreLabels[1]: "a b": expected the key of a label, such as example.com/rack; spec.autoscaler.balancingMemoryRatio: "-1": expected a share of 0 to 1; spec.autoscaler.balancingAllocatableRatio: "5": expected a share of 0 to 1; spec.autoscaler.balancingFreeRatio: "2": expected`},
		"unknown field deep down":          {`, autoscaler: {scaleDown: {delay: 1s}}}`, "spec.autoscaler.scaleDown.delay: unknown field"},
		"address without port":             {`, metricsAddress: localhost}`, "spec.metricsAddress: \"localhost\": expected host:port"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := v1alpha1.DecodeControllerConfig([]byte(minimalController + tc.spec))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v\nwant one that says %s", err, tc.want)
			}
		})
	}
}

func TestQueueURL(t *testing.T) {
	for queue, good := range map[string]bool{
		"https://sqs.us-west-2.amazonaws.com/123456789012/joinery-demo":     true,
		"https://sqs.cn-north-1.amazonaws.com.cn/123456789012/joinery_demo": true,
		"http://10.99.0.1:4566/123456789012/joinery-demo":                   true,
		"ftp://sqs.us-west-2.amazonaws.com/123456789012/joinery-demo":       false,
		"https:///123456789012/joinery-demo":                                false,
		"https://:443/123456789012/joinery-demo":                            false,
		"https://user:word@sqs.us-west-2.amazonaws.com/123456789012/q":      false,
		"https://sqs.us-west-2.amazonaws.com/12345/joinery-demo":            false,
		"https://sqs.us-west-2.amazonaws.com/123456789012/":                 false,
		"https://sqs.us-west-2.amazonaws.com/123456789012/joinery.fifo":     false,
		"https://sqs.us-west-2.amazonaws.com/123456789012/a/b":              false,
		"https://sqs.us-west-2.amazonaws.com/123456789012/%71":              false,
		"https://sqs.us-west-2.amazonaws.com/123456789012/q?":               false,
		"https://sqs.us-west-2.amazonaws.com/123456789012/q#x":              false,
		"sqs.us-west-2.amazonaws.com/123456789012/joinery-demo":             false,
		"joinery-demo": false,
	} {
		_, err := v1alpha1.DecodeControllerConfig([]byte(minimalController + `, lifecycle: {queueURL: "` + queue + `"}}`))
		if good && err != nil || !good && (err == nil || !strings.Contains(err.Error(), "spec.lifecycle.queueURL")) {
			t.Errorf("%s: %v", queue, err)
		}
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

func TestApproverProblems(t *testing.T) {
	for approver, want := range map[string]string{
		`{}`:                                  "",
		`{stsProof: accept}`:                  "",
		`{proof: instanceIdentity}`:           "",
		`{proof: any, nodeRoles: [a]}`:        "",
		`{proof: nodeRole, nodeRoles: [a]}`:   "",
		`{proof: nodeRole, stsProof: off}`:    "",
		`{proof: nodeRole}`:                   "spec.approver.nodeRoles: required when proof is nodeRole and stsProof is not off",
		`{proof: nodeRole, stsProof: accept}`: "spec.approver.nodeRoles: required when proof is nodeRole",
		`{proof: identity}`:                   `spec.approver.proof: "identity": expected instanceIdentity, nodeRole or any`,
		`{proof: x, stsProof: w, nodeRoles: ["aws:ec2-instance"]}`: `spec.approver.stsProof: "w": expected off, accept or require; spec.approver.proof: "x": expected instanceIdentity, nodeRole or any; spec.approver.nodeRoles[0]: "aws:ec2-instance": expected the name of an IAM role`,
		`{stsProof: maybe}`:                          `spec.approver.stsProof: "maybe": expected off, accept or require`,
		`{nodeRoles: [service/node]}`:                `spec.approver.nodeRoles[0]: "service/node": expected the name of an IAM role`,
		`{stsProof: off}`:                            "",
		`{stsProof: require, nodeRoles: [a, "b+c"]}`: "",
	} {
		_, err := v1alpha1.DecodeControllerConfig([]byte("apiVersion: joinery.dev/v1alpha1\nkind: ControllerConfig\nspec: {cluster: demo, approver: " + approver + "}"))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: error %v: expected %q", approver, err, want)
		}
	}
}

func TestAcceptedProofs(t *testing.T) {
	for _, test := range []struct {
		proof          v1alpha1.ProofKind
		roles          []string
		identity, role bool
	}{
		{v1alpha1.ProofAny, nil, true, false},
		{v1alpha1.ProofAny, []string{"node"}, true, true},
		{v1alpha1.ProofInstanceIdentity, []string{"node"}, true, false},
		{v1alpha1.ProofNodeRole, []string{"node"}, false, true},
	} {
		s := v1alpha1.ApproverSettings{Proof: test.proof, NodeRoles: test.roles}
		if s.Accepts(v1alpha1.ProofInstanceIdentity) != test.identity || s.Accepts(v1alpha1.ProofNodeRole) != test.role || s.Accepts(v1alpha1.ProofAny) {
			t.Errorf("%+v: accepts %t, %t", test, s.Accepts(v1alpha1.ProofInstanceIdentity), s.Accepts(v1alpha1.ProofNodeRole))
		}
	}
}
