package main

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/joinery/joinery/deploy/terraform/check/schema"
)

// server answers what OpenTofu asks in validate, plan and apply; it has none of the
// other methods.
type server struct {
	tfprotov6.ProviderServer
	declared schema.Provider
	site     site
}

// GetProviderSchema declares resources and data sources.
func (s *server) GetProviderSchema(context.Context, *tfprotov6.GetProviderSchemaRequest) (*tfprotov6.GetProviderSchemaResponse, error) {
	resources, err := declare(s.declared.Resources)
	if err != nil {
		return nil, err
	}
	data, err := declare(s.declared.DataSources)
	return &tfprotov6.GetProviderSchemaResponse{Provider: providerConfig, ResourceSchemas: resources, DataSourceSchemas: data}, err
}

// GetMetadata is asked before the schema by some versions.
func (s *server) GetMetadata(context.Context, *tfprotov6.GetMetadataRequest) (*tfprotov6.GetMetadataResponse, error) {
	return &tfprotov6.GetMetadataResponse{}, nil
}

// ValidateProviderConfig finds nothing that the schema has not found.
func (s *server) ValidateProviderConfig(_ context.Context, req *tfprotov6.ValidateProviderConfigRequest) (*tfprotov6.ValidateProviderConfigResponse, error) {
	return &tfprotov6.ValidateProviderConfigResponse{PreparedConfig: req.Config}, nil
}

// ValidateResourceConfig refuses what only the provider may set. OpenTofu leaves that to
// providers, and has looked at all else that a schema says.
func (s *server) ValidateResourceConfig(_ context.Context, req *tfprotov6.ValidateResourceConfigRequest) (*tfprotov6.ValidateResourceConfigResponse, error) {
	typ, err := s.resourceType(req.TypeName)
	if err != nil {
		return nil, err
	}
	v, err := req.Config.Unmarshal(typ)
	if err != nil {
		return nil, fmt.Errorf("validate %s: %w", req.TypeName, err)
	}
	found, err := setOnlyByProvider(s.declared.Resources[req.TypeName], v)
	return &tfprotov6.ValidateResourceConfigResponse{Diagnostics: found}, err
}

// ValidateDataResourceConfig finds nothing that the schema has not found.
func (s *server) ValidateDataResourceConfig(context.Context, *tfprotov6.ValidateDataResourceConfigRequest) (*tfprotov6.ValidateDataResourceConfigResponse, error) {
	return &tfprotov6.ValidateDataResourceConfigResponse{}, nil
}

// ConfigureProvider takes the region.
func (s *server) ConfigureProvider(_ context.Context, req *tfprotov6.ConfigureProviderRequest) (*tfprotov6.ConfigureProviderResponse, error) {
	v, err := fields(req.Config, providerConfig.ValueType())
	if err != nil {
		return nil, fmt.Errorf("configure: %w", err)
	}
	s.site = site{region: text(v["region"])}
	return &tfprotov6.ConfigureProviderResponse{}, nil
}

// StopProvider has nothing to stop.
func (s *server) StopProvider(context.Context, *tfprotov6.StopProviderRequest) (*tfprotov6.StopProviderResponse, error) {
	return &tfprotov6.StopProviderResponse{}, nil
}

// PlanResourceChange makes unknown what the provider would set on creation.
func (s *server) PlanResourceChange(_ context.Context, req *tfprotov6.PlanResourceChangeRequest) (*tfprotov6.PlanResourceChangeResponse, error) {
	typ, err := s.resourceType(req.TypeName)
	if err != nil {
		return nil, err
	}
	prior, err := req.PriorState.Unmarshal(typ)
	if err != nil {
		return nil, fmt.Errorf("plan %s: %w", req.TypeName, err)
	}
	if !prior.IsNull() {
		return &tfprotov6.PlanResourceChangeResponse{PlannedState: req.ProposedNewState}, nil
	}
	v, err := fields(req.ProposedNewState, typ)
	if err != nil {
		return nil, fmt.Errorf("plan %s: %w", req.TypeName, err)
	}
	for name, a := range s.declared.Resources[req.TypeName].Attributes {
		if a.Computed && v[name].IsNull() {
			v[name] = tftypes.NewValue(v[name].Type(), tftypes.UnknownValue)
		}
	}
	planned, err := tfprotov6.NewDynamicValue(typ, tftypes.NewValue(typ, v))
	return &tfprotov6.PlanResourceChangeResponse{PlannedState: &planned}, err
}

// ApplyResourceChange replaces what was unknown.
func (s *server) ApplyResourceChange(_ context.Context, req *tfprotov6.ApplyResourceChangeRequest) (*tfprotov6.ApplyResourceChangeResponse, error) {
	typ, err := s.resourceType(req.TypeName)
	if err != nil {
		return nil, err
	}
	v, err := fields(req.PlannedState, typ)
	if err != nil {
		return nil, fmt.Errorf("apply %s: %w", req.TypeName, err)
	}
	for name, value := range v {
		if !value.IsKnown() {
			v[name] = s.site.computed(req.TypeName, name, value.Type(), v)
		}
	}
	state, err := tfprotov6.NewDynamicValue(typ, tftypes.NewValue(typ, v))
	return &tfprotov6.ApplyResourceChangeResponse{NewState: &state}, err
}

// ReadResource finds everything as it was left.
func (s *server) ReadResource(_ context.Context, req *tfprotov6.ReadResourceRequest) (*tfprotov6.ReadResourceResponse, error) {
	return &tfprotov6.ReadResourceResponse{NewState: req.CurrentState}, nil
}

// UpgradeResourceState reads a state of this version.
func (s *server) UpgradeResourceState(_ context.Context, req *tfprotov6.UpgradeResourceStateRequest) (*tfprotov6.UpgradeResourceStateResponse, error) {
	typ, err := s.resourceType(req.TypeName)
	if err != nil {
		return nil, err
	}
	v, err := req.RawState.Unmarshal(typ)
	if err != nil {
		return nil, fmt.Errorf("read state of %s: %w", req.TypeName, err)
	}
	state, err := tfprotov6.NewDynamicValue(typ, v)
	return &tfprotov6.UpgradeResourceStateResponse{UpgradedState: &state}, err
}

// ReadDataSource says where the provider is.
func (s *server) ReadDataSource(_ context.Context, req *tfprotov6.ReadDataSourceRequest) (*tfprotov6.ReadDataSourceResponse, error) {
	all, err := declare(s.declared.DataSources)
	if err != nil {
		return nil, err
	}
	typ := all[req.TypeName].ValueType()
	v, err := fields(req.Config, typ)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", req.TypeName, err)
	}
	for name, fact := range s.site.facts() {
		if have, ok := v[name]; ok && have.IsNull() {
			v[name] = tftypes.NewValue(tftypes.String, fact)
		}
	}
	state, err := tfprotov6.NewDynamicValue(typ, tftypes.NewValue(typ, v))
	return &tfprotov6.ReadDataSourceResponse{State: &state}, err
}

func (s *server) resourceType(name string) (tftypes.Type, error) {
	all, err := declare(s.declared.Resources)
	if err != nil {
		return nil, err
	}
	if all[name] == nil {
		return nil, fmt.Errorf("%s is not declared", name)
	}
	return all[name].ValueType(), nil
}

// fields takes an object apart; null has none.
func fields(d *tfprotov6.DynamicValue, typ tftypes.Type) (map[string]tftypes.Value, error) {
	v, err := d.Unmarshal(typ)
	if err != nil {
		return nil, err
	}
	out := map[string]tftypes.Value{}
	return out, v.As(&out)
}

// text is a string that is known, or else empty.
func text(v tftypes.Value) string {
	var out string
	if v.Type() == nil || !v.IsKnown() || v.IsNull() || !v.Type().Is(tftypes.String) || v.As(&out) != nil {
		return ""
	}
	return out
}
