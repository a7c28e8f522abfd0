package awssim

import (
	"encoding/base64"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
)

func versionNotFound(name string, version any) error {
	return fail("ParameterVersionNotFound", "Systems Manager could not find version %v of %s. Verify the version and try again.", version, name)
}

// splitSelector takes "name:selector" apart; the name may be an ARN.
func (w *World) splitSelector(ref string) (name, selector string) {
	if rest, ok := strings.CutPrefix(ref, w.arn("ssm", "parameter")); ok {
		ref = rest // an ARN always has the slash, names without hierarchy do not
		if plain := strings.TrimPrefix(rest, "/"); !strings.Contains(plain, "/") {
			ref = plain
		}
	}
	name, selector, _ = strings.Cut(ref, ":")
	return name, selector
}

// findVersionLocked finds the latest version, or the one that a version number
// or label selects.
func (w *World) findVersionLocked(name, selector string) (*parameter, *paramVersion, error) {
	p := w.params[name]
	if p == nil {
		return nil, nil, fail("ParameterNotFound", "Parameter %s not found.", name)
	}
	if selector == "" {
		return p, p.latest(), nil
	}
	number, err := strconv.ParseInt(selector, 10, 64)
	for _, v := range p.versions {
		if err == nil && v.version == number || err != nil && slices.Contains(v.labels, selector) {
			return p, v, nil
		}
	}
	return nil, nil, versionNotFound(name, selector)
}

// valueLocked is a version's value as a reader sees it: a SecureString is
// ciphertext unless decryption was asked for, which takes the key's permission.
func (w *World) valueLocked(req *request, p *parameter, v *paramVersion, decrypt bool) (string, error) {
	if v.kind != "SecureString" || !decrypt {
		return v.value, nil
	}
	blob, err := base64.StdEncoding.DecodeString(v.value)
	if err != nil {
		return "", err
	}
	if k := w.sealedByLocked(blob); k != nil {
		if err := w.throughSSMLocked(req, "Decrypt", k, p.name); err != nil {
			return "", err
		}
	}
	plaintext, _, err := w.openLocked(blob, w.parameterContext(p.name))
	if err != nil {
		return "", fail("InvalidKeyId", "The parameter %s could not be decrypted.", p.name)
	}
	return string(plaintext), nil
}

func (w *World) readLocked(req *request, ref string, decrypt bool) (map[string]any, error) {
	name, selector := w.splitSelector(ref)
	p, v, err := w.findVersionLocked(name, selector)
	if err != nil {
		return nil, err
	}
	value, err := w.valueLocked(req, p, v, decrypt)
	if err != nil {
		return nil, err
	}
	out := map[string]any{
		"ARN": w.parameterARN(name), "DataType": v.format, "LastModifiedDate": epoch(v.modified),
		"Name": name, "Type": v.kind, "Value": value, "Version": v.version,
	}
	if selector != "" {
		out["Selector"] = ":" + selector
	}
	return out, nil
}

func (w *World) getParameter(req *request) (any, error) {
	in, err := decode[struct {
		Name           string
		WithDecryption bool
	}](req)
	if err != nil {
		return nil, err
	}
	req.log = map[string]string{"Name": in.Name, "WithDecryption": strconv.FormatBool(in.WithDecryption)}
	if in.Name == "" {
		return nil, missing("ssm", "name")
	}
	p, err := w.readLocked(req, in.Name, in.WithDecryption)
	if err != nil {
		return nil, err
	}
	return map[string]any{"Parameter": p}, nil
}

func (w *World) getParameters(req *request) (any, error) {
	in, err := decode[struct {
		Names          []string
		WithDecryption bool
	}](req)
	if err != nil {
		return nil, err
	}
	req.log = map[string]string{"Names": strings.Join(in.Names, ",")}
	if len(in.Names) == 0 || len(in.Names) > 10 {
		return nil, invalid("ssm", "1 validation error detected: Value at 'names' failed to satisfy constraint: Member must have length between 1 and 10")
	}
	found, unknown := []map[string]any{}, []string{}
	for _, name := range in.Names {
		p, err := w.readLocked(req, name, in.WithDecryption)
		var refused *apiError
		if errors.As(err, &refused) && refused.code == "AccessDeniedException" {
			return nil, err
		}
		if err != nil {
			unknown = append(unknown, name)
			continue
		}
		found = append(found, p)
	}
	return map[string]any{"Parameters": found, "InvalidParameters": unknown}, nil
}

// describe is the metadata that history and DescribeParameters share.
func (w *World) describe(p *parameter, v *paramVersion) map[string]any {
	out := map[string]any{
		"Name": p.name, "Type": v.kind, "Version": v.version, "Tier": v.tier, "DataType": v.format,
		"LastModifiedDate": epoch(v.modified), "LastModifiedUser": v.user, "Policies": []any{},
	}
	if v.keyID != "" {
		out["KeyId"] = v.keyID
	}
	if v.description != "" {
		out["Description"] = v.description
	}
	return out
}

func (w *World) getParameterHistory(req *request) (any, error) {
	in, err := decode[struct {
		Name, NextToken string
		WithDecryption  bool
		MaxResults      int
	}](req)
	if err != nil {
		return nil, err
	}
	req.log = map[string]string{"Name": in.Name}
	p, _, err := w.findVersionLocked(in.Name, "")
	if err != nil {
		return nil, err
	}
	setDefault(&in.MaxResults, 50)
	versions, next, ok := page(p.versions, in.NextToken, in.MaxResults)
	if !ok {
		return nil, fail("InvalidNextToken", "The specified token isn't valid.")
	}
	list := []map[string]any{}
	for _, v := range versions {
		value, err := w.valueLocked(req, p, v, in.WithDecryption)
		if err != nil {
			return nil, err
		}
		d := w.describe(p, v)
		d["Value"], d["Labels"] = value, append([]string{}, v.labels...)
		list = append(list, d)
	}
	return withToken(map[string]any{"Parameters": list}, next), nil
}

func withToken(out map[string]any, next string) map[string]any {
	if next != "" {
		out["NextToken"] = next
	}
	return out
}

type parameterFilter struct {
	Key, Option string
	Values      []string
}

func (w *World) describeParameters(req *request) (any, error) {
	in, err := decode[struct {
		NextToken        string
		MaxResults       int
		ParameterFilters []parameterFilter
	}](req)
	if err != nil {
		return nil, err
	}
	var all []*parameter
	for _, name := range slices.Sorted(maps.Keys(w.params)) {
		match, err := matchParameter(w.params[name], in.ParameterFilters)
		if err != nil {
			return nil, err
		}
		if match {
			all = append(all, w.params[name])
		}
	}
	setDefault(&in.MaxResults, 10)
	part, next, ok := page(all, in.NextToken, in.MaxResults)
	if !ok {
		return nil, fail("InvalidNextToken", "The specified token isn't valid.")
	}
	list := []map[string]any{}
	for _, p := range part {
		d := w.describe(p, p.latest())
		d["ARN"] = w.parameterARN(p.name)
		list = append(list, d)
	}
	return withToken(map[string]any{"Parameters": list}, next), nil
}

func matchParameter(p *parameter, filters []parameterFilter) (bool, error) {
	for _, f := range filters {
		hit := false
		for _, value := range f.Values {
			switch {
			case f.Key == "Name" && (f.Option == "" || f.Option == "Equals"):
				hit = hit || p.name == value
			case f.Key == "Name" && f.Option == "BeginsWith":
				hit = hit || strings.HasPrefix(p.name, value)
			case f.Key == "Type":
				hit = hit || p.latest().kind == value
			case strings.HasPrefix(f.Key, "tag:"):
				hit = hit || p.tags[f.Key[len("tag:"):]] == value
			default:
				return false, fail("InvalidFilterKey", "The filter key %s with option %q is not simulated.", f.Key, f.Option)
			}
		}
		if !hit {
			return false, nil
		}
	}
	return true, nil
}

func (w *World) deleteParameter(req *request) (any, error) {
	in, err := decode[struct{ Name string }](req)
	if err != nil {
		return nil, err
	}
	req.log = map[string]string{"Name": in.Name}
	if _, _, err := w.findVersionLocked(in.Name, ""); err != nil {
		return nil, err
	}
	delete(w.params, in.Name)
	return nil, nil
}

func (w *World) deleteParameters(req *request) (any, error) {
	in, err := decode[struct{ Names []string }](req)
	if err != nil {
		return nil, err
	}
	req.log = map[string]string{"Names": strings.Join(in.Names, ",")}
	deleted, unknown := []string{}, []string{}
	for _, name := range in.Names {
		if w.params[name] == nil {
			unknown = append(unknown, name)
			continue
		}
		delete(w.params, name)
		deleted = append(deleted, name)
	}
	return map[string]any{"DeletedParameters": deleted, "InvalidParameters": unknown}, nil
}
