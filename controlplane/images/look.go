// Package images judges the machine images that a cluster's groups launch from, by
// the version tags that the image's template gives them: a group whose image is too
// old or too new is found before it grows.
package images

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/joinery/joinery/internal/fleet"
	"github.com/joinery/joinery/internal/fleet/awsfleet"
	"github.com/joinery/joinery/internal/fleet/launch"
)

// maxFilterValues bounds one question (EC2 API Reference).
const maxFilterValues = 200

// maxAge is how old the picture of groups and launch templates may be. Others ask for
// younger ones: a look costs AWS one call, at rest.
const maxAge = Every

// Image is an image that groups launch from.
type Image struct {
	ID     string
	Groups []string // sorted
	// Gone says that EC2 does not show it.
	Gone bool
	Tags map[string]string
}

// groups is the part of awsfleet.Reader that Looker uses.
type groups interface {
	Managed(ctx context.Context, maxAge time.Duration) ([]fleet.Group, error)
	ByID(ctx context.Context, ids ...string) ([]fleet.Instance, error)
}

// templates is the part of launch.Templates that Looker uses.
type templates interface {
	Get(ctx context.Context, ref fleet.TemplateRef, maxAge time.Duration) (launch.Template, error)
}

// imagesAPI is the part of the EC2 client that Looker uses.
type imagesAPI interface {
	DescribeImages(context.Context, *ec2.DescribeImagesInput, ...func(*ec2.Options)) (*ec2.DescribeImagesOutput, error)
}

// Looker reads which images groups launch from, and their tags.
type Looker struct {
	Fleet     groups
	Templates templates
	EC2       imagesAPI
}

// Look returns the images of the cluster's groups, sorted by id. A group that has
// no fixed image and no instance yet has none. An error is also returned beside
// what could be read: a group whose template is lost does not hide the others.
func (l Looker) Look(ctx context.Context) ([]Image, error) {
	managed, err := l.Fleet.Managed(ctx, maxAge)
	if err != nil {
		return nil, err
	}
	found := map[string]*Image{}
	var errs []error
	for _, g := range managed {
		ids, err := l.imagesOf(ctx, g)
		if err != nil {
			errs = append(errs, fmt.Errorf("image of group %s: %w", g.Name, err))
		}
		for _, id := range ids {
			if found[id] == nil {
				found[id] = &Image{ID: id, Gone: true}
			}
			found[id].Groups = append(found[id].Groups, g.Name)
		}
	}
	if err := l.describe(ctx, found); err != nil {
		return nil, errors.Join(append(errs, err)...)
	}
	var all []Image
	for _, i := range found {
		all = append(all, *i)
	}
	slices.SortFunc(all, func(a, b Image) int { return strings.Compare(a.ID, b.ID) })
	return all, errors.Join(errs...)
}

// imagesOf returns the images that a group launches from, each once: of its template and
// of those of its overrides. Of a launch configuration it is the newest instance's. A
// template that is lost does not hide the others.
func (l Looker) imagesOf(ctx context.Context, g fleet.Group) ([]string, error) {
	var ids []string
	var errs []error
	add := func(id string, err error) {
		if id != "" && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
		errs = append(errs, err)
	}
	templates := g.Launch.Templates()
	for _, ref := range templates {
		add(l.imageOf(ctx, ref, g.Members))
	}
	if len(templates) == 0 {
		add(l.newest(ctx, g.Members))
	}
	return ids, errors.Join(errs...)
}

// imageOf returns the image that a template fixes. Where it is looked up at each launch,
// it is that of the newest instance of the template.
func (l Looker) imageOf(ctx context.Context, ref fleet.TemplateRef, members []fleet.Member) (string, error) {
	t, err := l.Templates.Get(ctx, ref, maxAge)
	if err != nil || t.ImageID != "" {
		return t.ImageID, err
	}
	return l.newest(ctx, slices.DeleteFunc(slices.Clone(members), func(m fleet.Member) bool { return m.LaunchTemplateID != t.ID }))
}

// newest returns the image of the newest instance; empty when there is none.
func (l Looker) newest(ctx context.Context, members []fleet.Member) (string, error) {
	var ids []string
	for _, m := range members {
		ids = append(ids, m.ID)
	}
	if len(ids) == 0 {
		return "", nil
	}
	instances, err := l.Fleet.ByID(ctx, ids...)
	if err != nil || len(instances) == 0 {
		return "", err
	}
	newest := slices.MaxFunc(instances, func(a, b fleet.Instance) int { return a.LaunchTime.Compare(b.LaunchTime) })
	return newest.ImageID, nil
}

// describe asks for the images' tags. It asks by a filter: one unknown id in
// ImageIds fails the whole call.
func (l Looker) describe(ctx context.Context, found map[string]*Image) error {
	for chunk := range slices.Chunk(slices.Sorted(maps.Keys(found)), maxFilterValues) {
		out, err := l.EC2.DescribeImages(ctx, &ec2.DescribeImagesInput{
			Filters: []types.Filter{{Name: aws.String("image-id"), Values: chunk}}, IncludeDeprecated: aws.Bool(true),
		})
		if err != nil {
			return fmt.Errorf("describe images: %w", awsfleet.Answer(err))
		}
		for _, i := range out.Images {
			image := found[aws.ToString(i.ImageId)]
			if image == nil {
				continue
			}
			image.Gone, image.Tags = false, map[string]string{}
			for _, t := range i.Tags {
				image.Tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
			}
		}
	}
	return nil
}
