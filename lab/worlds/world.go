// Package worlds makes random worlds for an autoscaler: groups whose nodes are not what
// was promised, pods that come and go, people and AWS that do as they like, and after
// that a time in which nothing happens any more. A world is data; who plays it decides
// what is to be watched.
package worlds

import (
	"fmt"
	"strings"
	"time"
)

// World is one world. Its times count from its begin.
type World struct {
	Seed    uint64
	Groups  []Group
	Classes []Class
	// Events are in the order of their times; all have ended at Storm.
	Events []Event
	// Storm is how long events happen, Calm how long nothing does afterwards.
	Storm, Calm time.Duration
	// Harsh: AWS does at all times what it does at its worst, see awssim.World.
	Harsh bool
}

// Group is an Auto Scaling group.
type Group struct {
	Name, Type        string
	Zones             []string
	Min, Max, Desired int
	// Tainted: its nodes have the taint Dedicated with the group's name.
	Tainted bool
	// Promised: its template promises one Device for each node.
	Promised bool
	Nodes    Nature
}

// Dedicated is the key of the taint of tainted groups, and Device the resource of groups
// that promise it.
const (
	Dedicated = "worlds.example/dedicated"
	Device    = "worlds.example/device"
)

// Nature is what the nodes of a group are like.
type Nature string

// The natures. Those of an Able group run pods in the end.
const (
	Honest      Nature = "honest"
	Late        Nature = "late"        // become Nodes after minutes
	LateDevice  Nature = "late device" // report their Device minutes after they are Ready
	Crowded     Nature = "crowded"     // have a static pod of 600m that nothing promises
	Smaller     Nature = "smaller"     // have half of the memory of their type
	NoDevice    Nature = "no device"   // never report their Device
	Quarantined Nature = "quarantined" // have a taint that nothing promises
	NeverReady  Nature = "never ready" // become Nodes that are not Ready
	NeverJoin   Nature = "never join"  // do not become Nodes
	Idlers      Nature = "called idle" // report that they may go, whatever runs there
	Boasters    Nature = "larger"      // report four times what they have
	Fickle      Nature = "fickle"      // are not Ready for two of ten minutes
	Nameless    Nature = "without id"  // have no provider id
	Labelled    Nature = "late label"  // get the label of their zone minutes after they are Ready
	Stuck       Nature = "stuck"       // are held by a launch hook that is not ours
)

// Able reports whether nodes of this nature run pods as the group's template promises.
func (n Nature) Able() bool {
	switch n {
	case Honest, Late, LateDevice, Idlers, Nameless, Labelled:
		return true
	}
	return false
}

// Class are pods of one kind, which a controller makes again whenever they end.
type Class struct {
	Name       string
	Replicas   int
	CPU        int    // in thousandths
	Memory     int    // in MiB
	Zone       string // the only one where they run; empty: any
	Group      string // the tainted group that they tolerate; empty: none
	Device     bool   // each takes one
	Apart      bool   // no two on one node
	Pinned     bool   // must not be evicted
	Available  int    // that a disruption budget demands; 0: there is none
	Priority   int32
	Impossible bool // no node of any group is large enough
}

// Kind is what happens.
type Kind string

// The kinds of events, with the fields that they use. Those with For end by themselves.
const (
	Scale      Kind = "scale"               // Class to N replicas
	Budget     Kind = "budget"              // Class demands N
	NoCapacity Kind = "no capacity"         // in Zone, For
	NoLaunch   Kind = "launch suspended"    // of Group, For
	NoEnd      Kind = "terminate suspended" // of Group, For
	Bounds     Kind = "bounds"              // of Group: maximum N, and desired within it
	Desire     Kind = "desired"             // of Group: N, within its bounds
	Retire     Kind = "retire"              // Group gets minimum, maximum and desired 0
	NodeGone   Kind = "node deleted"        // some Node, by Pick
	Ended      Kind = "instance ended"      // some instance, by Pick, through EC2
	Silent     Kind = "kubelet dead"        // of some node, by Pick, from then on
	Cordoned   Kind = "cordoned"            // some node, by Pick, For
	ZoneLost   Kind = "zone lost"           // all instances in Zone end, and none comes, For
	Leader     Kind = "leader lost"         // another controller leads
	Throttled  Kind = "throttled"           // Auto Scaling, For
	Down       Kind = "aws down"            // Auto Scaling and EC2 fail, For
	Deaf       Kind = "answers lost"        // of half of the writes to Auto Scaling, For
)

// Event is something that happens.
type Event struct {
	At    time.Duration
	Kind  Kind
	Group string        `json:",omitempty"`
	Class string        `json:",omitempty"`
	Zone  string        `json:",omitempty"`
	N     int           `json:",omitempty"`
	Pick  uint64        `json:",omitempty"`
	For   time.Duration `json:",omitempty"`
}

// String tells all of a world, one thing a line.
func (w World) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "world %d: %s of storm, %s of calm, harsh %t\n", w.Seed, w.Storm, w.Calm, w.Harsh)
	for _, g := range w.Groups {
		fmt.Fprintf(&b, "  group %+v\n", g)
	}
	for _, c := range w.Classes {
		fmt.Fprintf(&b, "  class %+v\n", c)
	}
	for _, e := range w.Events {
		fmt.Fprintf(&b, "  %8s %+v\n", e.At.Round(time.Second), e)
	}
	return b.String()
}

// Group gives the group of a name.
func (w World) Group(name string) Group {
	for _, g := range w.Groups {
		if g.Name == name {
			return g
		}
	}
	return Group{}
}
