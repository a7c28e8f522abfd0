package worlds

import (
	"slices"
	"time"
)

// Shrink makes a world smaller for as long as it still fails, by at most tries plays:
// without events, classes and groups, with fewer replicas, with honest nodes, a kind
// AWS. What it returns fails, if w does.
func Shrink(w World, tries int, fails func(World) bool) World {
	for smaller := true; smaller; {
		smaller = false
		for _, c := range simpler(w) {
			if tries--; tries < 0 {
				return w
			}
			if fails(c) {
				w, smaller = c, true
				break
			}
		}
	}
	return w
}

// simpler are the worlds that lack one thing, those that lack most first.
func simpler(w World) (all []World) {
	for n := len(w.Events) / 2; n > 0; n /= 2 {
		for at := 0; at+n <= len(w.Events); at += n {
			c := w
			c.Events = slices.Delete(slices.Clone(w.Events), at, at+n)
			all = append(all, c)
		}
	}
	for i, class := range w.Classes {
		all = append(all, w.without("", class.Name))
		if class.Replicas > 1 {
			c := w
			c.Classes = slices.Clone(w.Classes)
			c.Classes[i].Replicas /= 2
			all = append(all, c)
		}
	}
	for i, g := range w.Groups {
		if len(w.Groups) > 1 && !slices.ContainsFunc(w.Classes, func(c Class) bool { return c.Group == g.Name }) {
			all = append(all, w.without(g.Name, ""))
		}
		if g.Nodes != Honest {
			c := w
			c.Groups = slices.Clone(w.Groups)
			c.Groups[i].Nodes = Honest
			all = append(all, c)
		}
	}
	if w.Harsh {
		c := w
		c.Harsh = false
		all = append(all, c)
	}
	if n := len(w.Events); w.Storm > time.Minute && (n == 0 || w.Events[n-1].At+w.Events[n-1].For < w.Storm/2) {
		c := w
		c.Storm /= 2
		all = append(all, c)
	}
	return all
}

// without is the world without a group or a class, and what happens to it.
func (w World) without(group, class string) World {
	w.Groups = slices.DeleteFunc(slices.Clone(w.Groups), func(g Group) bool { return g.Name == group })
	w.Classes = slices.DeleteFunc(slices.Clone(w.Classes), func(c Class) bool { return c.Name == class })
	w.Events = slices.DeleteFunc(slices.Clone(w.Events), func(e Event) bool {
		return group != "" && e.Group == group || class != "" && e.Class == class
	})
	return w
}
