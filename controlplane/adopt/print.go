package adopt

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
)

// WriteText writes lines as a table for people.
func WriteText(w io.Writer, lines []Line) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "NODE\tACTION\tSTANDING\tWHY")
	for _, l := range lines {
		standing := string(l.Standing)
		if standing == "" {
			standing = "-"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", l.Node, l.Action, standing, l.Message)
	}
	return t.Flush()
}

// WriteJSON writes lines for programs.
func WriteJSON(w io.Writer, lines []Line) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(struct {
		Nodes []Line `json:"nodes"`
	}{lines})
}

// Complete reports whether every Node that was meant is adopted, or needs not be.
func Complete(lines []Line) bool {
	for _, l := range lines {
		if l.Action == Refused || l.Action == Missing {
			return false
		}
	}
	return true
}
