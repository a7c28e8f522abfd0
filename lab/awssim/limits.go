package awssim

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// limits.json holds the sizes and ranges that AWS's own API models (those of
// botocore 1.43.11) give the parameters of the actions here: "service Action" ->
// parameter, as it is named on the wire, "[]" for the elements of a list.
//
//go:embed limits.json
var limitsJSON []byte

// limit is the least and the most of a text's characters, a list's elements or a
// number.
type limit struct {
	Kind string // text, list or number
	Min  *int64
	Max  *int64
}

var limits = sync.OnceValue(func() map[string]map[string]limit {
	all := map[string]map[string]limit{}
	if err := json.Unmarshal(limitsJSON, &all); err != nil {
		panic(err) // the file is part of this program
	}
	for action, more := range documented {
		if all[action] == nil {
			all[action] = map[string]limit{}
		}
		for parameter, most := range more {
			all[action][parameter] = limit{Kind: "list", Max: &most}
		}
	}
	return all
})

// documented are sizes that the models leave out and the reference of each
// action has (50 ids and hooks of AutoScaling, and its quota of 50 tags).
var documented = map[string]map[string]int64{
	"autoscaling DescribeAutoScalingInstances": {"InstanceIds": 50},
	"autoscaling SetInstanceProtection":        {"InstanceIds": 50},
	"autoscaling DescribeLifecycleHooks":       {"LifecycleHookNames": 50},
	"autoscaling CreateAutoScalingGroup":       {"Tags": 50},
	"ec2 DescribeLaunchTemplateVersions":       {"LaunchTemplateVersion": 200},
	"ec2 DescribeLaunchTemplates":              {"LaunchTemplateId": 200, "LaunchTemplateName": 200},
}

// Further quotas.
const (
	mostHooks        = 50  // of a group
	mostFilterValues = 200 // of an EC2 request
	// mostNameLength is of a parameter's whole ARN.
	// https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_PutParameter.html
	mostNameLength = 1011
)

// checkLimits holds a request to the limits of its action.
func checkLimits(req *request) error {
	known := limits()[req.service+" "+req.action]
	sizes, values := measure(req)
	for path, n := range sizes {
		if err := known[path].check(req, path, int64(n), "list"); err != nil {
			return err
		}
	}
	for _, v := range values {
		l, ok := known[v.path]
		n := int64(utf8.RuneCountInString(v.text))
		if ok && l.Kind == "number" {
			var err error
			if n, err = strconv.ParseInt(v.text, 10, 64); err != nil {
				continue // the action says so in its own words
			}
		}
		if err := l.check(req, v.path, n, l.Kind); err != nil {
			return err
		}
	}
	if n := filterValues(values); req.service == "ec2" && n > mostFilterValues {
		return fail("FilterLimitExceeded", "The maximum number of filter values specified on a single call is %d", mostFilterValues)
	}
	return checkGroupNames(req, sizes)
}

// checkGroupNames: as many names as records were asked for.
func checkGroupNames(req *request, sizes map[string]int) error {
	if req.service != "autoscaling" || req.action != "DescribeAutoScalingGroups" {
		return nil
	}
	most, err := recordSize(req, 50, 100)
	if err == nil && sizes["AutoScalingGroupNames"] > most {
		return fail("ValidationError", "The number of group names must not be greater than %d", most)
	}
	return nil // a bad MaxRecords is the action's to refuse
}

func filterValues(values []sized) (n int) {
	for _, v := range values {
		if v.path == "Filter[].Value[]" {
			n++
		}
	}
	return n
}

func (l limit) check(req *request, path string, n int64, kind string) error {
	words := map[string][2]string{
		"text":   {"have length greater than or equal to", "have length less than or equal to"},
		"list":   {"have length greater than or equal to", "have length less than or equal to"},
		"number": {"have value greater than or equal to", "have value less than or equal to"},
	}[kind]
	broken := func(word string, bound int64) error {
		return invalid(req.service, "1 validation error detected: Value at '%s' failed to satisfy constraint: Member must %s %d", path, word, bound)
	}
	switch {
	case l.Kind != kind:
		return nil
	case l.Min != nil && n < *l.Min:
		return broken(words[0], *l.Min)
	case l.Max != nil && n > *l.Max:
		return broken(words[1], *l.Max)
	}
	return nil
}

// sized is a value of a request and the parameter that it is of.
type sized struct{ path, text string }

// element is a list's index in the name of a query parameter.
var element = regexp.MustCompile(`(?:\.member)?\.[0-9]+`)

// measure lists a request's values and counts the elements of its lists.
func measure(req *request) (sizes map[string]int, values []sized) {
	sizes = map[string]int{}
	if len(req.body) > 0 {
		var body any
		if json.Unmarshal(req.body, &body) == nil {
			measureJSON("", body, sizes, &values)
		}
		return sizes, values
	}
	seen := map[string]bool{}
	for key, text := range req.form {
		values = append(values, sized{element.ReplaceAllString(key, "[]"), text})
		for _, at := range element.FindAllStringIndex(key, -1) {
			if whole := key[:at[1]]; !seen[whole] {
				seen[whole] = true
				sizes[whole[:at[0]]]++
			}
		}
	}
	for list, n := range sizes {
		if plain := element.ReplaceAllString(list, "[]"); plain != list {
			delete(sizes, list)
			sizes[plain] = max(sizes[plain], n)
		}
	}
	return sizes, values
}

func measureJSON(path string, v any, sizes map[string]int, values *[]sized) {
	switch v := v.(type) {
	case map[string]any:
		for name, inner := range v {
			measureJSON(strings.TrimPrefix(path+"."+name, "."), inner, sizes, values)
		}
	case []any:
		sizes[path] = max(sizes[path], len(v))
		for _, inner := range v {
			measureJSON(path+"[]", inner, sizes, values)
		}
	case string:
		*values = append(*values, sized{path, v})
	case float64:
		*values = append(*values, sized{path, fmt.Sprintf("%.0f", v)})
	}
}
