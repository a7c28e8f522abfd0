package doctor

import (
	"encoding/json"
	"fmt"
	"io"
)

// WriteText writes findings for people: what is well in one line, and under
// everything else why it matters and what mends it.
func WriteText(w io.Writer, all []Finding) error {
	for _, f := range all {
		if _, err := fmt.Fprintf(w, "%-8s %-25s %s\n", f.Level, f.Check, f.Found); err != nil {
			return err
		}
		for _, line := range [][2]string{{"why", f.Why}, {"mend", f.Mend}} {
			if line[1] == "" {
				continue
			}
			if _, err := fmt.Fprintf(w, "%-8s %-25s %s: %s\n", "", "", line[0], line[1]); err != nil {
				return err
			}
		}
	}
	return nil
}

// WriteJSON writes findings for programs.
func WriteJSON(w io.Writer, all []Finding) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(struct {
		Worst    Level     `json:"worst"`
		Findings []Finding `json:"findings"`
	}{Worst(all), all})
}
