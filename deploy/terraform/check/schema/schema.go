// Package schema holds what the AWS provider declares of each resource and data source
// that the Terraform module uses. aws.json is taken from the npm package
// @cdktf/provider-aws, whose sources are generated from the provider's own schema.
package schema

import (
	_ "embed" // for aws.json
	"encoding/json"
	"fmt"
)

//go:embed aws.json
var current []byte

// Provider is the part of a provider that is used.
type Provider struct {
	// Version of the provider.
	Version string `json:"version"`
	// Resources and DataSources by their types, such as aws_kms_key.
	Resources   map[string]Block `json:"resources"`
	DataSources map[string]Block `json:"dataSources"`
}

// Block is the body of a resource, or of a block in one.
type Block struct {
	// Attributes by name.
	Attributes map[string]Attribute `json:"attributes,omitempty"`
	// Blocks by name.
	Blocks map[string]Nested `json:"blocks,omitempty"`
}

// Attribute is one value.
type Attribute struct {
	// Type as in Terraform's JSON: "string", or ["set","string"].
	Type     json.RawMessage `json:"type"`
	Required bool            `json:"required,omitempty"`
	Optional bool            `json:"optional,omitempty"`
	Computed bool            `json:"computed,omitempty"`
}

// Nested is a block that may occur in another.
type Nested struct {
	// Nesting is list, set or single.
	Nesting string `json:"nesting"`
	// Required blocks occur at least once.
	Required bool `json:"required,omitempty"`
	// One says that the block occurs once at most.
	One   bool  `json:"one,omitempty"`
	Block Block `json:"block"`
}

// Current returns the schema in aws.json.
func Current() (Provider, error) {
	var p Provider
	if err := json.Unmarshal(current, &p); err != nil {
		return p, fmt.Errorf("decode aws.json: %w", err)
	}
	return p, nil
}
