package awssim

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// TestLimitsAreChecked takes every limit of the models, one inside of it and one
// outside, through the check of a request as it comes over the wire.
func TestLimitsAreChecked(t *testing.T) {
	checked := 0
	for action, parameters := range limits() {
		service, name, _ := strings.Cut(action, " ")
		if _, ok := services[service]()[name]; !ok {
			t.Errorf("%s has limits and is not simulated", action)
		}
		for path, l := range parameters {
			for n, inside := range bounds(l) {
				checked++
				req := sample(service, name, path, l.Kind, n)
				if err := checkLimits(req); (err == nil) != inside {
					t.Errorf("%s: %s of %d: %v, want it inside: %v", action, path, n, err, inside)
				}
			}
		}
	}
	if checked < 500 {
		t.Errorf("%d checks", checked)
	}
}

// bounds are sizes next to the limits, and whether they are inside.
func bounds(l limit) map[int64]bool {
	out := map[int64]bool{}
	if l.Max != nil && *l.Max < 20000 {
		out[*l.Max], out[*l.Max+1] = true, false
	}
	if l.Min != nil {
		out[*l.Min] = true
		if *l.Min > 0 && l.Kind != "list" { // no list is no parameter
			out[*l.Min-1] = false
		}
	}
	return out
}

// sample is a request with one parameter of a size.
func sample(service, action, path, kind string, n int64) *request {
	req := &request{service: service, action: action, form: form{}}
	if service == "ssm" || service == "kms" || service == "sqs" {
		req.body = []byte(sampleJSON(strings.Split(path, "."), kind, n))
		return req
	}
	first := ".1"
	if service != "ec2" {
		first = ".member.1"
	}
	key := strings.ReplaceAll(path, "[]", first)
	switch kind {
	case "text":
		req.form[key] = strings.Repeat("x", int(n))
	case "number":
		req.form[key] = strconv.FormatInt(n, 10)
	case "list":
		for i := range n {
			req.form[fmt.Sprintf("%s%s%d", key, strings.TrimSuffix(first, "1"), i+1)] = "xxx"
		}
		if path == "AutoScalingGroupNames" {
			req.form["MaxRecords"] = "100"
		}
	}
	return req
}

func sampleJSON(path []string, kind string, n int64) string {
	if len(path) > 0 {
		name, depth := strings.TrimRight(path[0], "[]"), strings.Count(path[0], "[]")
		return fmt.Sprintf(`{%q:%s%s%s}`, name, strings.Repeat("[", depth), sampleJSON(path[1:], kind, n), strings.Repeat("]", depth))
	}
	switch kind {
	case "text":
		return strconv.Quote(strings.Repeat("x", int(n)))
	case "number":
		return strconv.FormatInt(n, 10)
	}
	return "[" + strings.TrimSuffix(strings.Repeat("{},", int(n)), ",") + "]"
}

// TestQuotas are those that are no property of one parameter.
func TestQuotas(t *testing.T) {
	values := func(n int) *request {
		req := &request{service: "ec2", action: "DescribeInstances", form: form{"Filter.1.Name": "instance-id", "Filter.2.Name": "tag:a"}}
		for i := range n {
			req.form[fmt.Sprintf("Filter.%d.Value.%d", 1+i%2, 1+i/2)] = "x"
		}
		return req
	}
	groups := func(n int, records string) *request {
		req := sample("autoscaling", "DescribeAutoScalingGroups", "AutoScalingGroupNames", "list", int64(n))
		if req.form["MaxRecords"] = records; records == "" {
			delete(req.form, "MaxRecords")
		}
		return req
	}
	for name, c := range map[string]struct {
		req *request
		ok  bool
	}{
		"200 filter values": {values(200), true}, "201 filter values": {values(201), false},
		"50 names": {groups(50, ""), true}, "51 names": {groups(51, ""), false},
		"100 names of 100": {groups(100, "100"), true}, "101 names of 100": {groups(101, "100"), false},
	} {
		if err := checkLimits(c.req); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
