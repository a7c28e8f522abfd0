package main

import (
	"github.com/joinery/joinery/controlplane/images"
	"github.com/joinery/joinery/controlplane/leader"
	"github.com/joinery/joinery/internal/version"
)

// images returns the service that says which groups launch from an image that is
// too old or too new.
func (a assembly) images(looker images.Looker) leader.Service {
	w := &images.Watch{
		Images: looker, Server: a.client.Discovery(), Joinery: version.Version(),
		Events: a.events, About: theLease(), Metrics: images.NewMetrics(a.reg), Log: a.log.With("part", "images"), Meter: a.meter,
	}
	return leader.Service{Name: "images", Run: w.Run}
}
