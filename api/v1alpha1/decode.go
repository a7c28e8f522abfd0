package v1alpha1

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"

	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// document is what decode fills.
type document interface {
	setDefaults()
	validate() problems
}

// maxDocument bounds what is decoded; user data is at most 16 KiB and an SSM
// value 8 KiB, so a megabyte is beyond every honest document.
const maxDocument = 1 << 20

// decode reads data, YAML or JSON, strictly into into, sets defaults and
// validates. Problems of decoding and of validation are reported together.
func decode(data []byte, kind string, into document) error {
	if len(data) > maxDocument {
		return &InvalidError{Kind: kind, Problems: []Problem{{Detail: fmt.Sprintf("%d bytes: expected at most %d", len(data), maxDocument)}}}
	}
	raw, err := yaml.YAMLToJSONStrict(data)
	if err != nil {
		return &InvalidError{Kind: kind, Problems: []Problem{{Detail: yamlDetail(err)}}}
	}
	if err := checkVersion(raw, kind); err != nil {
		return err
	}
	strict, err := kjson.UnmarshalStrict(raw, into)
	if err != nil {
		return &InvalidError{Kind: kind, Problems: []Problem{typeProblem(err)}}
	}
	var found problems
	for _, s := range strict {
		found = append(found, strictProblem(s))
	}
	into.setDefaults()
	return append(found, into.validate()...).err(kind)
}

func checkVersion(raw []byte, kind string) error {
	var meta TypeMeta
	if err := json.Unmarshal(raw, &meta); err != nil {
		return &InvalidError{Kind: kind, Problems: []Problem{typeProblem(err)}}
	}
	if meta.APIVersion != GroupVersion || meta.Kind != kind {
		return &VersionError{WantKind: kind, APIVersion: meta.APIVersion, Kind: meta.Kind}
	}
	return nil
}

var quotedField = regexp.MustCompile(`^(unknown|duplicate) field "(.*)"$`)

// strictProblem turns a strict decoding error into a problem with its path.
func strictProblem(err error) Problem {
	if m := quotedField.FindStringSubmatch(err.Error()); m != nil {
		return Problem{Field: m[2], Detail: m[1] + " field"}
	}
	return Problem{Detail: err.Error()}
}

func typeProblem(err error) Problem {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return Problem{Field: wrong.Field, Detail: fmt.Sprintf("is a JSON %s: expected %s", wrong.Value, wrong.Type)}
	}
	return Problem{Detail: err.Error()}
}

// yamlDetail keeps the parser's line and reason and the name of a duplicate
// key, but not the values that it quotes, which may hold a secret.
func yamlDetail(err error) string {
	if m := yamlDuplicate.FindStringSubmatch(err.Error()); m != nil {
		return fmt.Sprintf("%s: duplicate key %s", m[1], m[2])
	}
	if m := yamlSyntax.FindStringSubmatch(err.Error()); m != nil {
		return "malformed YAML: " + m[1]
	}
	return "malformed YAML"
}

var (
	yamlDuplicate = regexp.MustCompile(`(line \d+): key ("[A-Za-z0-9._/-]{1,64}") already set`)
	yamlSyntax    = regexp.MustCompile(`^yaml: ((?:line \d+: )?(?:did not find|found|mapping values|could not find|block)[a-z ,:'{}\[\]-]*)`)
)
