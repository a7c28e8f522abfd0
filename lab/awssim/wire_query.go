package awssim

import (
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// form is the parameters of a query-protocol request, where lists and
// structures are flattened into dotted names. Query services number list
// elements "List.member.1", EC2 "List.1"; both count from one.
type form map[string]string

func parseForm(rawQuery, contentType string, body []byte) (form, error) {
	values, err := url.ParseQuery(rawQuery)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(contentType, "application/x-www-form-urlencoded") {
		more, err := url.ParseQuery(string(body))
		if err != nil {
			return nil, err
		}
		maps.Copy(values, more)
	}
	f := form{}
	for k, v := range values {
		f[k] = v[0]
	}
	return f, nil
}

func (f form) str(name string) string { return f[name] }

func (f form) has(name string) bool { _, ok := f[name]; return ok }

// boolean reads a truth value; nil when it is absent.
func (f form) boolean(name string) *bool {
	s, ok := f[name]
	if !ok {
		return nil
	}
	b := s == "true"
	return &b
}

// integer reads a number; ok is false when it is absent.
func (f form) integer(service, name string) (n int, ok bool, err error) {
	s, ok := f[name]
	if !ok {
		return 0, false, nil
	}
	n, err = strconv.Atoi(s)
	if err != nil {
		return 0, true, invalid(service, "Value '%s' at '%s' is not a valid integer", s, name)
	}
	return n, true, nil
}

// list returns the elements of a list as forms of their own; the element's own
// value, when it is no structure, has the empty name.
func (f form) list(prefix string) []form {
	elements := map[int]form{}
	for key, value := range f {
		rest, ok := strings.CutPrefix(key, prefix+".")
		if !ok {
			continue
		}
		number, field, _ := strings.Cut(rest, ".")
		n, err := strconv.Atoi(number)
		if err != nil {
			continue
		}
		if elements[n] == nil {
			elements[n] = form{}
		}
		elements[n][field] = value
	}
	var out []form
	for _, n := range slices.Sorted(maps.Keys(elements)) {
		out = append(out, elements[n])
	}
	return out
}

// strs returns the elements of a list of plain values.
func (f form) strs(prefix string) []string {
	var out []string
	for _, e := range f.list(prefix) {
		out = append(out, e[""])
	}
	return out
}

// sub returns the members of a structure.
func (f form) sub(prefix string) form {
	out := form{}
	for key, value := range f {
		if rest, ok := strings.CutPrefix(key, prefix+"."); ok {
			out[rest] = value
		}
	}
	return out
}

// topLevel returns the names before the first dot, sorted.
func (f form) topLevel() []string {
	names := map[string]bool{}
	for key := range f {
		name, _, _ := strings.Cut(key, ".")
		names[name] = true
	}
	return slices.Sorted(maps.Keys(names))
}

// loggable returns the parameters without signatures, session tokens and user
// data, for the call log.
func (f form) loggable() map[string]string {
	out := map[string]string{}
	for key, value := range f {
		switch {
		case key == "Action", key == "Version", key == "LifecycleActionToken",
			strings.HasPrefix(key, "X-Amz-"), strings.HasSuffix(key, "UserData"):
		default:
			out[key] = value
		}
	}
	return out
}

// filter is one of a Describe call's filters: any value may match.
type filter struct {
	name   string
	values []string
}

// filters reads the filter list; EC2 calls its fields Filter.N.Value.M and
// AutoScaling Filters.member.N.Values.member.M.
func (f form) filters() []filter {
	var out []filter
	for _, e := range f.list("Filter") {
		out = append(out, filter{e.str("Name"), e.strs("Value")})
	}
	for _, e := range f.list("Filters.member") {
		out = append(out, filter{e.str("Name"), e.strs("Values.member")})
	}
	return out
}

// page cuts one page out of a listing. Tokens are opaque to clients and hold
// the position here; a foreign one is refused.
func page[T any](all []T, token string, size int) (part []T, next string, ok bool) {
	from := 0
	if token != "" {
		n, found := strings.CutPrefix(token, "awssim-page-")
		if from, ok = atoi(n); !found || !ok || from > len(all) {
			return nil, "", false
		}
	}
	to := len(all)
	if size > 0 && from+size < to {
		to = from + size
		next = "awssim-page-" + strconv.Itoa(to)
	}
	return all[from:to], next, true
}

func atoi(s string) (int, bool) {
	n, err := strconv.Atoi(s)
	return n, err == nil && n >= 0
}
