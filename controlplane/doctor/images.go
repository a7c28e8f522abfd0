package doctor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/joinery/joinery/controlplane/images"
)

// groupImages holds the images that groups launch from to the API server that runs
// and to this version of Joinery.
func groupImages(ctx context.Context, c Cluster, _ time.Time) ([]Finding, error) {
	if c.Site == nil {
		return []Finding{{Level: Skipped, Found: "the groups' images were not looked at: EC2 was not asked, as no --config was given"}}, nil
	}
	info, err := c.Client.Discovery().ServerVersion()
	if err != nil {
		return nil, fmt.Errorf("ask for the version of the API server: %w", err)
	}
	s, err := c.Site(ctx)
	if err != nil {
		return nil, err
	}
	seen, unread := s.Images.Look(ctx)
	found, err := judgeImages(seen, images.Versions{APIServer: info.GitVersion, Joinery: c.Version})
	return found, errors.Join(unread, err)
}

// judgeImages returns a finding for each problem, and one for each image without.
func judgeImages(seen []images.Image, at images.Versions) ([]Finding, error) {
	if len(seen) == 0 {
		return well("no group has an image yet"), nil
	}
	var out []Finding
	for _, i := range seen {
		problems, err := images.Judge(i, at)
		if err != nil {
			return nil, err
		}
		for _, p := range problems {
			level := Warning
			if p.Keeps {
				level = Broken
			}
			out = append(out, Finding{Level: level, Found: p.Found, Why: p.Why, Mend: p.Fix})
		}
		if len(problems) == 0 {
			out = append(out, well("%s is current", i.Name())...)
		}
	}
	return out, nil
}
