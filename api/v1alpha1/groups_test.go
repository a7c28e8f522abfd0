package v1alpha1_test

import (
	"strings"
	"testing"

	"github.com/joinery/joinery/api/v1alpha1"
)

func TestGroupsByName(t *testing.T) {
	c, err := v1alpha1.DecodeControllerConfig([]byte(minimalController + `, autoscaler: {discovery: off, groups: [
		{name: eks-ng-1, min: 1, max: 8, priority: 10, price: 0.035, headroom: 1, labels: {team: a}, taints: [{key: gpu, value: "yes", effect: NoSchedule}],
		 resources: {nvidia.com/gpu: "4"}, scaleDown: {utilizationThreshold: 0, gpuUtilizationThreshold: 0.7, unneededTime: 0s, unreadyTime: 30m, ignoreDaemonSetsUtilization: true}},
		{name: other/with-a-slash}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	const p = "k8s.io/cluster-autoscaler/node-template/"
	for key, want := range map[string]string{
		"joinery:priority": "10", "joinery:price": "0.035", "joinery:headroom": "1",
		p + "label/team": "a", p + "taint/gpu": "yes:NoSchedule", p + "resources/nvidia.com/gpu": "4",
		p + "autoscaling-options/scaledownutilizationthreshold": "0", p + "autoscaling-options/scaledowngpuutilizationthreshold": "0.7",
		p + "autoscaling-options/scaledownunneededtime": "0s", p + "autoscaling-options/scaledownunreadytime": "30m0s", p + "autoscaling-options/ignoredaemonsetsutilization": "true",
	} {
		if got := c.Spec.Autoscaler.Groups[0].Tags()[key]; got != want {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
	if n := len(c.Spec.Autoscaler.Groups[0].Tags()); n != 11 {
		t.Errorf("%d tags, want 11", n)
	}
	if tags := c.Spec.Autoscaler.Groups[1].Tags(); len(tags) != 0 {
		t.Errorf("a group that sets nothing has tags %v", tags)
	}
}

func TestGroupProblems(t *testing.T) {
	for settings, want := range map[string]string{
		`discovery: auto`:                         `spec.autoscaler.discovery: "auto": expected tags or off`,
		`discovery: off`:                          `spec.autoscaler.discovery: "off": expected tags, or groups in spec.autoscaler.groups`,
		`groups: [{min: 1}]`:                      `spec.autoscaler.groups[0].name: expected the name of an Auto Scaling group`,
		`groups: [{name: "1:3:workers"}]`:         `spec.autoscaler.groups[0].name: "1:3:workers": expected the name of an Auto Scaling group: 1 to 255 characters of ASCII, without blanks and colons`,
		`groups: [{name: "a b"}]`:                 `spec.autoscaler.groups[0].name: "a b": expected the name of an Auto Scaling group`,
		`groups: [{name: a}, {name: a}]`:          `spec.autoscaler.groups[1].name: "a": expected each group once`,
		`groups: [{name: a, min: -1}]`:            `spec.autoscaler.groups[0].min: "-1": expected 0 or more`,
		`groups: [{name: a, min: 3, max: 2}]`:     `spec.autoscaler.groups[0].max: "2": expected 0 or more instances, and no fewer than min`,
		`groups: [{name: a, price: 0}]`:           `spec.autoscaler.groups[0].price: "0": expected US dollars an hour`,
		`groups: [{name: a, priority: 2000000}]`:  `spec.autoscaler.groups[0].priority: "2000000": expected -1000000 to 1000000`,
		`groups: [{name: a, headroom: -1}]`:       `spec.autoscaler.groups[0].headroom: "-1": expected 0 to 1000`,
		`groups: [{name: a, labels: {"b c": d}}]`: `spec.autoscaler.groups[0].labels[b c]: "b c": expected a label key`,
		`groups: [{name: a, labels: {node-role.kubernetes.io/control-plane: ""}}]`:                 `may not be set: it is none of a worker's`,
		`groups: [{name: a, taints: [{key: k, effect: Never}]}]`:                                   `spec.autoscaler.groups[0].taints[0].effect: "Never": expected NoSchedule`,
		`groups: [{name: a, taints: [{key: k, effect: NoSchedule}, {key: k, effect: NoExecute}]}]`: `spec.autoscaler.groups[0].taints[1].key: "k": expected one taint for each key`,
		`groups: [{name: a, resources: {nvidia.com/gpu: many}}]`:                                   `spec.autoscaler.groups[0].resources[nvidia.com/gpu]: "many": expected a quantity`,
		`groups: [{name: a, scaleDown: {utilizationThreshold: 2}}]`:                                `spec.autoscaler.groups[0].scaleDown.utilizationThreshold: "2": expected a share of 0 to 1`,
		`groups: [{name: a, scaleDown: {unneededTime: -1s}}]`:                                      `spec.autoscaler.groups[0].scaleDown.unneededTime: "-1s": expected 0s to 24h0m0s`,
		`groups: [{name: a, maximum: 2}]`:                                                          `spec.autoscaler.groups[0].maximum: unknown field`,
		`ignoreRivalsIn: [Team]`:                                                                   `spec.autoscaler.ignoreRivalsIn[0]: "Team": expected the name of a namespace`,
	} {
		_, err := v1alpha1.DecodeControllerConfig([]byte(minimalController + `, autoscaler: {` + settings + `}}`))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v\nwant one that says %s", settings, err, want)
		}
	}
}
