package awssim

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// launchTemplate is a named list of versions; version n is versions[n-1].
type launchTemplate struct {
	id, name       string
	created        time.Time
	defaultVersion int64
	versions       []templateVersion
	tags           map[string]string
}

type templateVersion struct {
	number      int64
	description string
	created     time.Time
	data        LaunchTemplateData
}

func (t *launchTemplate) latest() int64 { return int64(len(t.versions)) }

// PutLaunchTemplate makes a launch template, or a new version of it that holds
// exactly data. It returns the template's id and the version.
func (w *World) PutLaunchTemplate(name string, data LaunchTemplateData) (id string, version int64) {
	w.start()
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.settledLocked()
	w.knownImageLocked(data.ImageID)
	t := w.templateNamedLocked(name)
	if t == nil {
		t = w.newTemplateLocked(name, nil)
	}
	return t.id, t.add(data, "").number
}

func (w *World) newTemplateLocked(name string, tags map[string]string) *launchTemplate {
	t := &launchTemplate{id: w.idLocked("lt-"), name: name, created: time.Now(), defaultVersion: 1, tags: tags}
	if t.tags == nil {
		t.tags = map[string]string{}
	}
	w.templates[t.id] = t
	return t
}

func (t *launchTemplate) add(data LaunchTemplateData, description string) templateVersion {
	v := templateVersion{number: t.latest() + 1, description: description, created: time.Now(), data: data}
	t.versions = append(t.versions, v)
	return v
}

func (w *World) templateNamedLocked(name string) *launchTemplate {
	for _, t := range w.templates {
		if t.name == name {
			return t
		}
	}
	return nil
}

// findTemplateLocked finds a template by the id or name of a request.
func (w *World) findTemplateLocked(f form) (*launchTemplate, error) {
	id, name := f.str("LaunchTemplateId"), f.str("LaunchTemplateName")
	switch {
	case id == "" && name == "":
		return nil, fail("MissingParameter", "Either a launch template ID or a launch template name must be specified in the request.")
	case id != "" && name != "":
		return nil, fail("InvalidParameterCombination", "Only one of launch template ID and launch template name may be specified.")
	case id != "":
		if t := w.templates[id]; t != nil {
			return t, nil
		}
		return nil, fail("InvalidLaunchTemplateId.NotFound", "The specified launch template, with template ID %s, does not exist.", id)
	}
	if t := w.templateNamedLocked(name); t != nil {
		return t, nil
	}
	return nil, fail("InvalidLaunchTemplateName.NotFoundException", "The specified launch template, with template name %s, does not exist.", name)
}

// version resolves $Latest, $Default or a number.
func (t *launchTemplate) version(ref string) (templateVersion, error) {
	number := t.defaultVersion
	switch ref {
	case "", "$Default":
	case "$Latest":
		number = t.latest()
	default:
		n, err := strconv.ParseInt(ref, 10, 64)
		if err != nil {
			return templateVersion{}, fail("InvalidLaunchTemplateVersion.Malformed", "The launch template version '%s' is not valid.", ref)
		}
		number = n
	}
	if number < 1 || number > t.latest() {
		return templateVersion{}, fail("InvalidLaunchTemplateId.VersionNotFound", "Could not find the specified version %s for the launch template with ID %s.", ref, t.id)
	}
	return t.versions[number-1], nil
}

func (w *World) createTemplate(req *request) (any, error) {
	name := req.form.str("LaunchTemplateName")
	if len(name) < 3 || len(name) > 128 {
		return nil, fail("InvalidLaunchTemplateName.MalformedException", "A launch template name must have between 3 and 128 characters.")
	}
	if w.templateNamedLocked(name) != nil {
		return nil, fail("InvalidLaunchTemplateName.AlreadyExistsException", "Launch template name already in use.")
	}
	data, err := readTemplateData(req.form.sub("LaunchTemplateData"))
	if err != nil {
		return nil, err
	}
	tags := map[string]string{}
	for _, s := range req.form.list("TagSpecification") {
		more, err := readTags(s)
		if err != nil {
			return nil, err
		}
		maps.Copy(tags, more)
	}
	t := w.newTemplateLocked(name, tags)
	t.add(data, req.form.str("VersionDescription"))
	return []node{el("launchTemplate", t.nodes())}, nil
}

// createTemplateVersion adds a version. With SourceVersion, what the request
// leaves unset comes from that version; without, it stays unset.
func (w *World) createTemplateVersion(req *request) (any, error) {
	t, err := w.findTemplateLocked(req.form)
	if err != nil {
		return nil, err
	}
	data, err := readTemplateData(req.form.sub("LaunchTemplateData"))
	if err != nil {
		return nil, err
	}
	if ref := req.form.str("SourceVersion"); ref != "" {
		source, err := t.version(ref)
		if err != nil {
			return nil, err
		}
		data = data.inherit(source.data)
	}
	v := t.add(data, req.form.str("VersionDescription"))
	return []node{el("launchTemplateVersion", t.versionNodes(v))}, nil
}

func (w *World) modifyTemplate(req *request) (any, error) {
	t, err := w.findTemplateLocked(req.form)
	if err != nil {
		return nil, err
	}
	v, err := t.version(req.form.str("SetDefaultVersion"))
	if err != nil {
		return nil, err
	}
	t.defaultVersion = v.number
	return []node{el("launchTemplate", t.nodes())}, nil
}

func (t *launchTemplate) nodes() []node {
	return []node{
		el("launchTemplateId", t.id), el("launchTemplateName", t.name), el("createTime", t.created),
		el("defaultVersionNumber", t.defaultVersion), el("latestVersionNumber", t.latest()), tagNodes("tagSet", t.tags),
	}
}

func (t *launchTemplate) versionNodes(v templateVersion) []node {
	return []node{
		el("launchTemplateId", t.id), el("launchTemplateName", t.name), el("versionNumber", v.number),
		el("versionDescription", v.description), el("createTime", v.created), el("defaultVersion", v.number == t.defaultVersion),
		el("launchTemplateData", v.data.nodes()),
	}
}

func (w *World) describeTemplates(req *request) (any, error) {
	var all []*launchTemplate
	ids, names := req.form.strs("LaunchTemplateId"), req.form.strs("LaunchTemplateName")
	for _, id := range ids {
		t, err := w.findTemplateLocked(form{"LaunchTemplateId": id})
		if err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	for _, name := range names {
		t, err := w.findTemplateLocked(form{"LaunchTemplateName": name})
		if err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	if len(ids)+len(names) == 0 {
		all = slices.SortedFunc(maps.Values(w.templates), func(a, b *launchTemplate) int { return strings.Compare(a.name, b.name) })
	}
	var shown []*launchTemplate
	for _, t := range all {
		ok, err := matchFilters(req.form.filters(), func(name string) ([]string, bool) {
			if name == "launch-template-name" {
				return []string{t.name}, true
			}
			return tagFilter(name, t.tags)
		})
		if err != nil {
			return nil, err
		}
		if ok {
			shown = append(shown, t)
		}
	}
	size, err := pageSize(req, "LaunchTemplateId", 1, 200)
	if err != nil {
		return nil, err
	}
	part, next, ok := page(shown, req.form.str("NextToken"), size)
	if !ok {
		return nil, badToken()
	}
	return []node{
		elList("launchTemplates", "item", part, func(t *launchTemplate) any { return t.nodes() }),
		el("nextToken", next),
	}, nil
}
