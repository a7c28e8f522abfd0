package pack

import (
	"bytes"
	"embed"
	"path"
	"strings"
	"text/template"

	"github.com/goreleaser/nfpm/v2"
)

//go:embed scripts
var scriptTexts embed.FS

var scriptTemplates = template.Must(template.ParseFS(scriptTexts, "scripts/*"))

// values are what the templates of scripts/ are filled with.
type values struct {
	Name, UnitList string
	Units          []string
	// Shadows are where copies that were made by hand win over the package's files.
	Shadows []string
	State   []string
}

// scripts renders the maintainer scripts. A package without units needs none but to warn
// of copies that were made by hand.
func (c *contents) scripts(s spec) nfpm.Scripts {
	v := values{Name: s.program, State: s.state, Shadows: []string{"/usr/local/bin/" + s.program}}
	for _, u := range s.units {
		v.Shadows = append(v.Shadows, "/etc/systemd/system/"+u)
		if path.Dir(u) == "." { // no drop-in
			v.Units = append(v.Units, u)
		}
	}
	v.UnitList = strings.Join(v.Units, " ")
	names := map[Format][3]string{
		Deb: {"deb-postinst", "deb-prerm", "deb-postrm"},
		RPM: {"rpm-post", "rpm-preun", "rpm-postun"},
	}[c.format]
	out := nfpm.Scripts{PostInstall: c.script(names[0], v)}
	if len(v.Units) > 0 {
		out.PreRemove, out.PostRemove = c.script(names[1], v), c.script(names[2], v)
	}
	return out
}

func (c *contents) script(name string, v values) string {
	var text bytes.Buffer
	c.check(scriptTemplates.ExecuteTemplate(&text, name, v))
	return c.made(text.Bytes())
}
