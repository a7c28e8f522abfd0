package main

import (
	"github.com/joinery/joinery/controlplane/labels"
	"github.com/joinery/joinery/controlplane/leader"
	"github.com/joinery/joinery/internal/fleet/awsfleet"
	"github.com/joinery/joinery/internal/fleet/launch"
)

// labels returns the service that sets the labels which a kubelet may not.
func (a assembly) labels(finder *awsfleet.Reader, templates *launch.Templates) leader.Service {
	return leader.Service{Name: "labels", Run: labels.NewLabeler(labels.Deps{
		Client: a.client, Store: a.store, Binding: a.binder, Finder: finder, Declarations: launch.NewDeclarations(templates, a.spec.Cluster),
		Events: a.events, Registry: a.reg, Meter: a.meter, Log: a.log,
	}, labels.Policy{Cluster: a.spec.Cluster}).Run}
}
