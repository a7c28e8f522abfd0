package awssim

import (
	"encoding/base64"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Limits of Parameter Store.
// https://docs.aws.amazon.com/general/latest/gr/ssm.html
const (
	standardBytes = 4096
	advancedBytes = 8192
	maxVersions   = 100
	maxDepth      = 15
)

func ssmActions() map[string]action {
	return map[string]action{
		"PutParameter":          {run: (*World).putParameter},
		"GetParameter":          {run: (*World).getParameter},
		"GetParameters":         {run: (*World).getParameters},
		"GetParameterHistory":   {run: (*World).getParameterHistory},
		"DescribeParameters":    {run: (*World).describeParameters},
		"DeleteParameter":       {run: (*World).deleteParameter},
		"DeleteParameters":      {run: (*World).deleteParameters},
		"LabelParameterVersion": {run: (*World).labelParameterVersion},
	}
}

// parameter is a name with its versions, oldest first.
type parameter struct {
	name     string
	versions []*paramVersion
	tags     map[string]string
}

func (p *parameter) latest() *paramVersion { return p.versions[len(p.versions)-1] }

// paramVersion is one version; value is base64 ciphertext for a SecureString.
type paramVersion struct {
	version                   int64
	kind, value, keyID        string
	description, tier, format string
	modified                  time.Time
	user                      string // ARN of the last modifier
	labels                    []string
}

type putParameterInput struct {
	Name, Value, Type, KeyId, Description, Tier, DataType string
	Overwrite                                             bool
	Tags                                                  []struct{ Key, Value string }
}

var (
	parameterName = regexp.MustCompile(`^[a-zA-Z0-9_.\-/]+$`)
	reservedName  = regexp.MustCompile(`(?i)^/?(aws|ssm)`)
)

// putParameter makes a parameter or its next version.
// https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_PutParameter.html
func (w *World) putParameter(req *request) (any, error) {
	in, err := decode[putParameterInput](req)
	if err != nil {
		return nil, err
	}
	req.log = map[string]string{"Name": in.Name, "Type": in.Type, "KeyId": in.KeyId, "Tier": in.Tier}
	if err := checkName(in.Name); err != nil {
		return nil, err
	}
	if arn := w.parameterARN(in.Name); len(arn) > mostNameLength {
		return nil, invalid("ssm", "Parameter name: its ARN %s... has %d characters, and may have %d.", arn[:60], len(arn), mostNameLength)
	}
	if in.Value == "" {
		return nil, invalid("ssm", "1 validation error detected: Value '' at 'value' failed to satisfy constraint: Member must have length greater than or equal to 1.")
	}
	if in.Overwrite && len(in.Tags) > 0 {
		return nil, invalid("ssm", "Invalid request: tags and overwrite can't be used together. To create a parameter with tags, please remove overwrite flag. To update tags for an existing parameter, please use AddTagsToResource or RemoveTagsFromResource.")
	}
	p := w.params[in.Name]
	if p != nil && !in.Overwrite {
		return nil, fail("ParameterAlreadyExists", "The parameter already exists. To overwrite this value, set the overwrite option in the request to true.")
	}
	v, err := w.newVersionLocked(req, in, p)
	if err != nil {
		return nil, err
	}
	v.user = w.sessionARN(req.caller)
	if p == nil {
		p = &parameter{name: in.Name, tags: map[string]string{}}
		w.params[in.Name] = p
		for _, t := range in.Tags {
			p.tags[t.Key] = t.Value
		}
	}
	if len(p.versions) == maxVersions {
		if len(p.versions[0].labels) > 0 {
			return nil, fail("ParameterMaxVersionLimitExceeded", "The oldest version of %s has a label and can't be deleted. Move the label to another version and try again.", in.Name)
		}
		p.versions = p.versions[1:]
	}
	p.versions = append(p.versions, v)
	return map[string]any{"Version": v.version, "Tier": v.tier}, nil
}

// newVersionLocked checks type, size, tier and key, and makes the version that
// follows those of p (nil: the first).
func (w *World) newVersionLocked(req *request, in putParameterInput, p *parameter) (*paramVersion, error) {
	v := &paramVersion{version: 1, kind: in.Type, value: in.Value, description: in.Description, format: in.DataType, modified: time.Now()}
	old := ""
	if p != nil {
		last := p.latest()
		v.version, old = last.version+1, last.tier
		setDefault(&v.kind, last.kind)
	}
	if p != nil && v.kind != p.latest().kind {
		return nil, fail("HierarchyTypeMismatchException", "The parameter %s is of type %s and can't become %s. Create a new, unique parameter.", in.Name, p.latest().kind, v.kind)
	}
	setDefault(&v.format, "text")
	switch v.kind {
	case "String", "StringList", "SecureString":
	case "":
		return nil, invalid("ssm", "A parameter type is required when you create a parameter.")
	default:
		return nil, fail("UnsupportedParameterType", "The parameter type %s is not supported.", v.kind)
	}
	var err error
	if v.tier, err = tierFor(in.Tier, old, len(in.Value)); err != nil {
		return nil, err
	}
	if v.kind != "SecureString" {
		if in.KeyId != "" {
			return nil, invalid("ssm", "KeyId is required for SecureString type parameter only.")
		}
		return v, nil
	}
	v.keyID = in.KeyId
	setDefault(&v.keyID, "alias/aws/ssm")
	k, err := w.findKeyLocked(v.keyID)
	if err != nil {
		return nil, fail("InvalidKeyId", "%s", strings.TrimPrefix(err.Error(), "NotFoundException: "))
	}
	// A standard value is encrypted by KMS itself, an advanced one under a data key.
	action := map[string]string{"Standard": "Encrypt", "Advanced": "GenerateDataKey"}[v.tier]
	if err := w.throughSSMLocked(req, action, k, in.Name); err != nil {
		return nil, err
	}
	v.value = base64.StdEncoding.EncodeToString(k.seal([]byte(in.Value), w.parameterContext(in.Name)))
	return v, nil
}

// parameterContext is the encryption context that binds a value to its name.
func (w *World) parameterContext(name string) map[string]string {
	return map[string]string{"PARAMETER_ARN": w.parameterARN(name)}
}

func (w *World) parameterARN(name string) string {
	return w.arn("ssm", "parameter/"+strings.TrimPrefix(name, "/"))
}

func checkName(name string) error {
	switch {
	case !parameterName.MatchString(name):
		return invalid("ssm", "Parameter name: can't be null or empty, and may hold only the letters a-z, A-Z, 0-9 and the symbols . - _ and / as a separator.")
	case reservedName.MatchString(name):
		return invalid("ssm", "Parameter name: can't be prefixed with \"aws\" or \"ssm\" (case-insensitive).")
	case strings.Contains(name, "/") && !strings.HasPrefix(name, "/"):
		return invalid("ssm", "Parameter name must be a fully qualified name.")
	case strings.Count(name, "/") > maxDepth:
		return fail("HierarchyLevelLimitExceededException", "Parameter name hierarchy is deeper than %d levels.", maxDepth)
	}
	return nil
}

// tierFor picks the tier and holds the value's bytes against its limit. The
// limit is on the value as given, not on its ciphertext.
func tierFor(asked, old string, size int) (string, error) {
	if asked == "Standard" && old == "Advanced" {
		return "", invalid("ssm", "This parameter uses the advanced-parameter tier. You can't downgrade a parameter from the advanced-parameter tier to the standard-parameter tier. If necessary, you can delete the advanced parameter and recreate it as a standard parameter.")
	}
	tier := asked
	setDefault(&tier, old)
	switch tier {
	case "", "Standard", "Advanced":
		setDefault(&tier, "Standard")
	case "Intelligent-Tiering":
		if tier = "Standard"; size > standardBytes || old == "Advanced" {
			tier = "Advanced"
		}
	default:
		return "", invalid("ssm", "1 validation error detected: Value '%s' at 'tier' failed to satisfy constraint: Member must satisfy enum value set: [Standard, Advanced, Intelligent-Tiering]", asked)
	}
	if tier == "Standard" && size > standardBytes {
		return "", invalid("ssm", "Standard tier parameters support a maximum parameter value of %d characters. To create a larger parameter value, upgrade the parameter to use the advanced-parameter tier.", standardBytes)
	}
	if size > advancedBytes {
		return "", invalid("ssm", "Advanced tier parameters support a maximum parameter value of %d characters.", advancedBytes)
	}
	return tier, nil
}

// labelParameterVersion puts labels on a version, taking them from any other.
func (w *World) labelParameterVersion(req *request) (any, error) {
	in, err := decode[struct {
		Name             string
		ParameterVersion int64
		Labels           []string
	}](req)
	if err != nil {
		return nil, err
	}
	req.log = map[string]string{"Name": in.Name, "Labels": strings.Join(in.Labels, ",")}
	p, v, err := w.findVersionLocked(in.Name, "")
	if err != nil {
		return nil, err
	}
	if in.ParameterVersion != 0 {
		i := slices.IndexFunc(p.versions, func(v *paramVersion) bool { return v.version == in.ParameterVersion })
		if i < 0 {
			return nil, versionNotFound(in.Name, in.ParameterVersion)
		}
		v = p.versions[i]
	}
	for _, o := range p.versions {
		o.labels = slices.DeleteFunc(o.labels, func(l string) bool { return slices.Contains(in.Labels, l) })
	}
	v.labels = append(v.labels, in.Labels...)
	return map[string]any{"InvalidLabels": []string{}, "ParameterVersion": v.version}, nil
}
