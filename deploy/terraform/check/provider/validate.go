package main

import (
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/joinery/joinery/deploy/terraform/check/schema"
)

// setOnlyByProvider returns a complaint for each attribute of a configuration, and of the
// blocks in it, that is computed and not optional.
func setOnlyByProvider(b schema.Block, config tftypes.Value) ([]*tfprotov6.Diagnostic, error) {
	if config.IsNull() || !config.IsKnown() {
		return nil, nil
	}
	have := map[string]tftypes.Value{}
	if err := config.As(&have); err != nil {
		return nil, err
	}
	var out []*tfprotov6.Diagnostic
	for name, a := range b.Attributes {
		if a.Computed && !a.Optional && !have[name].IsNull() {
			out = append(out, &tfprotov6.Diagnostic{Severity: tfprotov6.DiagnosticSeverityError, Summary: "Attribute of the provider's alone: " + name})
		}
	}
	for name, n := range b.Blocks {
		for _, element := range elements(n, have[name]) {
			more, err := setOnlyByProvider(n.Block, element)
			if err != nil {
				return nil, err
			}
			out = append(out, more...)
		}
	}
	return out, nil
}

// elements are the blocks of one name.
func elements(n schema.Nested, v tftypes.Value) []tftypes.Value {
	if n.Nesting == "single" {
		return []tftypes.Value{v}
	}
	var out []tftypes.Value
	if !v.IsKnown() || v.IsNull() || v.As(&out) != nil {
		return nil
	}
	return out
}
