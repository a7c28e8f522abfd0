// Package launch reads launch templates, and what they and a group's tags declare
// about the nodes that are launched: the NodeConfig in their user data, and labels,
// taints and resources of Cluster Autoscaler's node-template tags.
package launch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/fleet"
	"github.com/joinery/joinery/internal/fleet/awsfleet"
)

// aliasAge is the least age at which $Latest and $Default are asked for again,
// aliasRest how many times maxAge they are believed.
const (
	aliasAge  = time.Minute
	aliasRest = 5
)

// Template is one version of a launch template, as far as it matters.
type Template struct {
	ID      string
	Version string // a number
	// InstanceType is empty when the template leaves it to the group.
	InstanceType string
	// Requirements says that the type is chosen by attributes.
	Requirements bool
	// ImageID of the image; empty when it floats or the template names none.
	ImageID string
	// FloatingImage says that the image is looked up at each launch
	// (resolve:ssm:…), so that instances of one version may differ in it.
	FloatingImage bool
	// UserData in base64; empty when the template has none.
	UserData string
	// RootGiB is the size of the root volume; 0 when not named.
	RootGiB int64
	// Cluster is the value of the tag v1alpha1.ClusterTag that instances get.
	Cluster string
}

// templateAPI is the part of the EC2 client that Templates uses.
type templateAPI interface {
	DescribeLaunchTemplateVersions(context.Context, *ec2.DescribeLaunchTemplateVersionsInput, ...func(*ec2.Options)) (*ec2.DescribeLaunchTemplateVersionsOutput, error)
}

// Templates keeps launch template versions, for everyone who reads them. It is safe
// for concurrent use. A numbered version never
// changes and is asked for once; $Latest and $Default are asked for again.
type Templates struct {
	api templateAPI

	mu       sync.Mutex // guards what follows
	versions map[versionKey]cachedTemplate
}

// versionKey names a version: the template by id or, without one, by name.
type versionKey struct{ template, version string }

type cachedTemplate struct {
	Template
	at time.Time
}

// NewTemplates returns Templates that have not asked EC2 anything yet.
func NewTemplates(api templateAPI) *Templates {
	return &Templates{api: api, versions: map[versionKey]cachedTemplate{}}
}

// Get returns the version that ref names. What $Latest or $Default stood for is
// believed for aliasAge and, at rest, for aliasRest times maxAge: it matters only
// when the group is about to grow, and then maxAge is short.
func (t *Templates) Get(ctx context.Context, ref fleet.TemplateRef, maxAge time.Duration) (Template, error) {
	key := versionKey{ref.ID, cmp.Or(ref.Version, "$Default")}
	in := &ec2.DescribeLaunchTemplateVersionsInput{Versions: []string{key.version}}
	if key.template == "" {
		key.template = ref.Name
		in.LaunchTemplateName = &ref.Name
	} else {
		in.LaunchTemplateId = &ref.ID
	}
	t.mu.Lock()
	have, ok := t.versions[key]
	t.mu.Unlock()
	_, err := strconv.ParseInt(key.version, 10, 64)
	if numbered := err == nil; ok && (numbered || time.Since(have.at) < max(aliasRest*maxAge, aliasAge)) {
		return have.Template, nil
	}
	lt, err := t.fetch(ctx, in)
	if err != nil {
		return Template{}, fmt.Errorf("launch template %s version %s: %w", key.template, key.version, awsfleet.Answer(err))
	}
	t.mu.Lock()
	t.versions[key] = cachedTemplate{lt, time.Now()}
	t.mu.Unlock()
	return lt, nil
}

func (t *Templates) fetch(ctx context.Context, in *ec2.DescribeLaunchTemplateVersionsInput) (Template, error) {
	out, err := t.api.DescribeLaunchTemplateVersions(ctx, in)
	if err != nil {
		return Template{}, err
	}
	if len(out.LaunchTemplateVersions) != 1 || out.LaunchTemplateVersions[0].LaunchTemplateData == nil {
		return Template{}, errors.New("no such version")
	}
	v := out.LaunchTemplateVersions[0]
	d := v.LaunchTemplateData
	lt := Template{
		ID:           aws.ToString(v.LaunchTemplateId),
		Version:      strconv.FormatInt(aws.ToInt64(v.VersionNumber), 10),
		InstanceType: string(d.InstanceType),
		Requirements: d.InstanceRequirements != nil,
		UserData:     aws.ToString(d.UserData),

		FloatingImage: strings.HasPrefix(aws.ToString(d.ImageId), "resolve:"),
		RootGiB:       rootGiB(d.BlockDeviceMappings),
	}
	if !lt.FloatingImage {
		lt.ImageID = aws.ToString(d.ImageId)
	}
	for _, s := range d.TagSpecifications {
		for _, tag := range s.Tags {
			if s.ResourceType == types.ResourceTypeInstance && aws.ToString(tag.Key) == v1alpha1.ClusterTag {
				lt.Cluster = aws.ToString(tag.Value)
			}
		}
	}
	return lt, nil
}

// rootGiB is the size of the volume under one of the names that Linux images
// give their root device; 0 when there is none or it has no size.
func rootGiB(mappings []types.LaunchTemplateBlockDeviceMapping) int64 {
	for _, m := range mappings {
		switch strings.TrimSuffix(aws.ToString(m.DeviceName), "1") {
		case "/dev/sda", "/dev/xvda":
			if m.Ebs != nil {
				return int64(aws.ToInt32(m.Ebs.VolumeSize))
			}
		}
	}
	return 0
}
