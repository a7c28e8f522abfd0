package awssim

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// matchFilters reports whether something with these properties passes all
// filters. Within one filter any value may match; * and ? are wildcards. value
// returns the values of a filter name, and false for a name that it does not know.
func matchFilters(filters []filter, value func(name string) ([]string, bool)) (bool, error) {
	for _, f := range filters {
		have, known := value(f.name)
		if !known {
			return false, fail("InvalidParameterValue", "The filter '%s' is invalid", f.name)
		}
		hit := slices.ContainsFunc(f.values, func(pattern string) bool {
			return slices.ContainsFunc(have, func(v string) bool { return wildcard(pattern, v) })
		})
		if !hit {
			return false, nil
		}
	}
	return true, nil
}

// wildcard matches EC2's filter patterns: * is any run of characters, ? any
// one, and a backslash takes the next character literally. Its time is bounded
// by the product of the lengths, whatever the pattern.
func wildcard(pattern, s string) bool {
	const none = -1
	at, star, from := 0, none, 0 // star: after the last *, which has taken s up to from
	for n := 0; n < len(s); {
		literal, width := at < len(pattern) && pattern[at] == '\\' && at+1 < len(pattern), 1
		if literal {
			width = 2
		}
		switch {
		case !literal && at < len(pattern) && pattern[at] == '*':
			at++
			star, from = at, n
		case at < len(pattern) && (pattern[at+width-1] == s[n] || !literal && pattern[at] == '?'):
			at, n = at+width, n+1
		case star != none:
			from++
			at, n = star, from
		default:
			return false
		}
	}
	return strings.Trim(pattern[at:], "*") == ""
}

// tagFilter answers the tag filters that all EC2 resources share.
func tagFilter(name string, tags map[string]string) ([]string, bool) {
	if key, ok := strings.CutPrefix(name, "tag:"); ok {
		if v, has := tags[key]; has {
			return []string{v}, true
		}
		return nil, true
	}
	var out []string
	for k, v := range tags {
		switch name {
		case "tag-key":
			out = append(out, k)
		case "tag-value":
			out = append(out, v)
		}
	}
	return out, name == "tag-key" || name == "tag-value"
}

// filterValue returns an instance's values for a DescribeInstances filter.
func (i *instance) filterValue(name string) ([]string, bool) {
	one := func(s string) ([]string, bool) { return []string{s}, true }
	switch name {
	case "instance-id":
		return one(i.ID)
	case "instance-state-name":
		return one(string(i.State))
	case "instance-state-code":
		return one(strconv.Itoa(i.State.code()))
	case "private-dns-name", "network-interface.private-dns-name":
		return one(i.PrivateDNSName)
	case "private-ip-address":
		return one(i.PrivateIP)
	case "network-interface.addresses.private-ip-address":
		return i.addresses(), true
	case "network-interface.ipv6-addresses.ipv6-address":
		return i.ipv6(), true
	case "vpc-id", "network-interface.vpc-id":
		return one(i.VPCID)
	case "subnet-id", "network-interface.subnet-id":
		return one(i.SubnetID)
	case "availability-zone":
		return one(i.Zone)
	case "availability-zone-id":
		return one(i.ZoneID)
	case "image-id":
		return one(i.ImageID)
	case "instance-type":
		return one(i.Type)
	case "architecture":
		return one(i.Architecture)
	case "key-name":
		return one(i.KeyName)
	case "launch-time":
		return one(stamp(i.LaunchTime))
	case "reservation-id":
		return one(i.reservID)
	case "metadata-options.http-tokens":
		return one(i.HTTPTokens)
	case "instance.group-id", "group-id":
		return i.SecurityGroups, true
	default:
		return tagFilter(name, i.Tags)
	}
}

// describe answers a Describe call about resources by id: those named, or all that
// pass the filters, by id. unknown is the error of an id that is not among all; nil
// leaves it out.
func describe[T any](req *request, idParam, set string, all map[string]T, unknown func(id string) error,
	value func(T, string) ([]string, bool), nodes func(T) []node) (any, error) {
	size, err := pageSize(req, idParam, 5, 1000)
	if err != nil {
		return nil, err
	}
	named := req.form.strs(idParam)
	var ids []string
	for _, id := range named {
		if _, ok := all[id]; ok {
			ids = append(ids, id)
		} else if err := unknown(id); err != nil {
			return nil, err
		}
	}
	if len(named) == 0 {
		ids = slices.Sorted(maps.Keys(all))
	}
	var shown []T
	for _, id := range ids {
		ok, err := matchFilters(req.form.filters(), func(name string) ([]string, bool) { return value(all[id], name) })
		if err != nil {
			return nil, err
		}
		if ok {
			shown = append(shown, all[id])
		}
	}
	part, next, ok := page(shown, req.form.str("NextToken"), size)
	if !ok {
		return nil, badToken()
	}
	return []node{elList(set, "item", part, func(r T) any { return nodes(r) }), el("nextToken", next)}, nil
}
