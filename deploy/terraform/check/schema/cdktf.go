package schema

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Source returns the TypeScript that a compiled file of the package was made of, out of
// its source map. The compiled file has lost the comments with the flags.
func Source(javascript string) (string, error) {
	_, encoded, found := strings.Cut(javascript, "sourceMappingURL=data:application/json;base64,")
	if !found {
		return "", errors.New("no source map")
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	if err != nil {
		return "", fmt.Errorf("decode source map: %w", err)
	}
	var m struct{ SourcesContent []string }
	if err := json.Unmarshal(raw, &m); err != nil || len(m.SourcesContent) != 1 {
		return "", fmt.Errorf("decode source map: %d sources: %w", len(m.SourcesContent), err)
	}
	return m.SourcesContent[0], nil
}

// declaration is what the source says of one attribute or block of a class.
type declaration struct {
	computed, optional, required bool
	// class that holds a block; empty for an attribute.
	class string
	one   bool
	// typ is the TypeScript type of an attribute, or the getter's name if it has no
	// private field.
	typ string
}

// source is a parsed file.
type source struct {
	typ, version string
	main         string
	// classes -> attribute -> declaration.
	classes map[string]map[string]declaration
	// nesting of attributes and blocks in HCL: class -> attribute -> list, set, …
	nesting map[string]map[string]string
}

var (
	classLine   = regexp.MustCompile(`^export class (\w+) extends cdktf\.(TerraformResource|TerraformDataSource|ComplexObject)\b`)
	flagsLine   = regexp.MustCompile(`^  // (\w+) - computed: (true|false), optional: (true|false), required: (true|false)$`)
	blockLine   = regexp.MustCompile(`^  private _\w+ = new (\w+?)(List|OutputReference|Map)\(this, "\w+"`)
	mapLine     = regexp.MustCompile(`^  private _\w+ = new cdktf\.(StringMap)\(this, `)
	fieldLine   = regexp.MustCompile(`^  private _\w+\??: (.+?); ?$`)
	getterLine  = regexp.MustCompile(`this\.get(\w+)Attribute\('`)
	typeLine    = regexp.MustCompile(`tfResourceType = "(\w+)"`)
	versionLine = regexp.MustCompile(`providerVersion: '([0-9.]+)'`)
	hclFunction = regexp.MustCompile(`^export function (\w+)ToHclTerraform\(`)
	hclName     = regexp.MustCompile(`^\s+(\w+): \{$`)
	hclType     = regexp.MustCompile(`^\s+type: "(\w+)"`)
)

// Parse reads the schema of one resource or data source out of its TypeScript.
func Parse(typescript string) (name, version string, body Block, err error) {
	s := &source{classes: map[string]map[string]declaration{}, nesting: map[string]map[string]string{}}
	s.read(strings.Split(typescript, "\n"))
	if s.typ == "" || s.version == "" || s.main == "" {
		return "", "", Block{}, fmt.Errorf("parse schema: type %q, version %q, class %q", s.typ, s.version, s.main)
	}
	body, err = s.block(s.main, s.main)
	if err != nil {
		return "", "", Block{}, fmt.Errorf("parse schema of %s: %w", s.typ, err)
	}
	return s.typ, s.version, body, nil
}

func (s *source) read(lines []string) {
	class, function, attribute := "", "", ""
	for n, line := range lines {
		if m := typeLine.FindStringSubmatch(line); m != nil {
			s.typ = m[1]
		}
		if m := versionLine.FindStringSubmatch(line); m != nil {
			s.version = m[1]
		}
		if m := classLine.FindStringSubmatch(line); m != nil {
			class = strings.TrimSuffix(m[1], "OutputReference")
			s.classes[class] = map[string]declaration{}
			if m[2] != "ComplexObject" {
				s.main, function = class, class
				s.nesting[class] = map[string]string{}
			}
		}
		if m := hclFunction.FindStringSubmatch(line); m != nil {
			function = strings.ToUpper(m[1][:1]) + m[1][1:]
			s.nesting[function] = map[string]string{}
		}
		if m := flagsLine.FindStringSubmatch(line); m != nil && class != "" {
			s.classes[class][m[1]] = declared(m, lines[n+1:])
		}
		if m := hclName.FindStringSubmatch(line); m != nil {
			attribute = m[1]
		}
		if m := hclType.FindStringSubmatch(line); m != nil && function != "" {
			s.nesting[function][attribute] = m[1]
		}
	}
}

// declared reads what follows a line of flags.
func declared(flags []string, following []string) declaration {
	d := declaration{computed: flags[2] == "true", optional: flags[3] == "true", required: flags[4] == "true"}
	for _, line := range following[:min(3, len(following))] {
		if m := blockLine.FindStringSubmatch(line); m != nil {
			d.class, d.one = m[1], m[2] == "OutputReference"
			return d
		}
		if m := fieldLine.FindStringSubmatch(line); m != nil {
			d.typ = m[1]
			return d
		}
		if m := mapLine.FindStringSubmatch(line); m != nil {
			d.typ = m[1]
			return d
		}
		if m := getterLine.FindStringSubmatch(line); m != nil {
			d.typ = m[1]
			return d
		}
	}
	return d
}

func (s *source) block(class, function string) (Block, error) {
	b := Block{Attributes: map[string]Attribute{}, Blocks: map[string]Nested{}}
	for name, d := range s.classes[class] {
		nesting := s.nesting[function][name]
		switch {
		case d.class != "" && !d.required && !d.optional:
			continue // objects that only the provider sets, which the module does not read
		case d.class != "":
			inner, err := s.block(d.class, d.class)
			if err != nil {
				return b, err
			}
			if nesting == "struct" {
				nesting = "single"
			}
			b.Blocks[name] = Nested{Nesting: nesting, Required: d.required, One: d.one && nesting != "single", Block: inner}
		default:
			typ, err := attributeType(d.typ, nesting)
			if err != nil {
				return b, fmt.Errorf("%s: %w", name, err)
			}
			b.Attributes[name] = Attribute{Type: typ, Required: d.required, Optional: d.optional, Computed: d.computed}
		}
	}
	if len(b.Attributes)+len(b.Blocks) == 0 {
		return b, fmt.Errorf("class %s has nothing", class)
	}
	return b, nil
}

// attributeType translates a type of TypeScript, or a getter's name.
func attributeType(typ, nesting string) (json.RawMessage, error) {
	collection := nesting
	if collection != "set" {
		collection = "list"
	}
	switch typ {
	case "string", "String":
		return json.RawMessage(`"string"`), nil
	case "number", "Number":
		return json.RawMessage(`"number"`), nil
	case "boolean | cdktf.IResolvable", "Boolean":
		return json.RawMessage(`"bool"`), nil
	case "string[]", "List":
		return json.RawMessage(`["` + collection + `","string"]`), nil
	case "number[]", "NumberList":
		return json.RawMessage(`["` + collection + `","number"]`), nil
	case "{ [key: string]: string }", "StringMap":
		return json.RawMessage(`["map","string"]`), nil
	}
	return nil, fmt.Errorf("unknown type %q", typ)
}
