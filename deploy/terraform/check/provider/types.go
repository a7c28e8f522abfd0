package main

import (
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/joinery/joinery/deploy/terraform/check/schema"
)

// providerConfig is the only one that is not taken from the package: the module
// configures no provider, and its examples set the region alone.
var providerConfig = &tfprotov6.Schema{Block: &tfprotov6.SchemaBlock{
	Attributes: []*tfprotov6.SchemaAttribute{{Name: "region", Type: tftypes.String, Optional: true}},
}}

// declare translates blocks into the protocol's schemas.
func declare(blocks map[string]schema.Block) (map[string]*tfprotov6.Schema, error) {
	out := map[string]*tfprotov6.Schema{}
	for name, b := range blocks {
		body, err := block(b)
		if err != nil {
			return nil, fmt.Errorf("declare %s: %w", name, err)
		}
		out[name] = &tfprotov6.Schema{Block: body}
	}
	return out, nil
}

func block(b schema.Block) (*tfprotov6.SchemaBlock, error) {
	out := &tfprotov6.SchemaBlock{}
	for _, name := range slices.Sorted(maps.Keys(b.Attributes)) {
		a := b.Attributes[name]
		typ, err := tftypes.ParseJSONType(a.Type) // deprecated for providers, and the one parser of this form
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out.Attributes = append(out.Attributes, &tfprotov6.SchemaAttribute{Name: name, Type: typ, Required: a.Required, Optional: a.Optional, Computed: a.Computed})
	}
	for _, name := range slices.Sorted(maps.Keys(b.Blocks)) {
		n := b.Blocks[name]
		inner, err := block(n.Block)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		nested := &tfprotov6.SchemaNestedBlock{TypeName: name, Block: inner}
		switch n.Nesting {
		case "list":
			nested.Nesting = tfprotov6.SchemaNestedBlockNestingModeList
		case "set":
			nested.Nesting = tfprotov6.SchemaNestedBlockNestingModeSet
		case "single":
			nested.Nesting = tfprotov6.SchemaNestedBlockNestingModeSingle
		default:
			return nil, fmt.Errorf("%s: unknown nesting %q", name, n.Nesting)
		}
		if n.Required {
			nested.MinItems = 1
		}
		if n.One {
			nested.MaxItems = 1
		}
		out.BlockTypes = append(out.BlockTypes, nested)
	}
	return out, nil
}
