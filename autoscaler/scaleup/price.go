package scaleup

import "strings"

// rareFactor is how much dearer a group of unknown price is taken to be that has a
// resource, such as GPUs, which no group of known price has: pods without need of it are
// not to go there for a low price.
const rareFactor = 10

// setCosts gives each group what one node costs, in US dollars an hour:
//   - its price;
//   - without one, the price for a core of a group of the same instance family;
//   - else the highest price for a core of any group.
//
// Without any price they are not compared by costs but by what they would waste.
func (p *planner) setCosts() {
	dearest, families, common := 0.0, map[string]float64{}, map[string]bool{}
	for _, g := range p.groups {
		if g.Price <= 0 || g.adds.MilliCPU <= 0 {
			continue
		}
		core := g.Price / float64(g.adds.MilliCPU)
		dearest = max(dearest, core)
		family := familyOf(g)
		families[family] = max(families[family], core)
		for _, s := range g.adds.Scalar {
			common[string(s.Name)] = true
		}
	}
	if p.priced = dearest > 0; !p.priced {
		return
	}
	for _, g := range p.groups {
		if g.cost = g.Price; g.cost > 0 {
			continue
		}
		core, known := families[familyOf(g)]
		if !known || familyOf(g) == "" {
			core = dearest
			for _, s := range g.adds.Scalar {
				if !common[string(s.Name)] {
					core = dearest * rareFactor
				}
			}
		}
		g.cost, g.estimated = core*float64(max(g.adds.MilliCPU, 1)), true
	}
}

// familyOf returns the family of the group's one instance type, such as m5 of m5.large;
// empty for a mixed group.
func familyOf(g *group) string {
	family, _, _ := strings.Cut(g.InstanceType, ".")
	return family
}
