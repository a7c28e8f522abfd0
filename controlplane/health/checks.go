package health

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"k8s.io/client-go/rest"

	"github.com/joinery/joinery/controlplane/progress"
)

// APIServer looks whether the API server answers that it is ready.
func APIServer(client rest.Interface) Check {
	return Check{Name: "api-server", Look: func(ctx context.Context) (string, error) {
		return "", client.Get().AbsPath("/readyz").Do(ctx).Error()
	}}
}

// Credentials looks whether there are AWS credentials, as the SDK caches them:
// AWS is asked only when those at hand are about to expire.
func Credentials(p aws.CredentialsProvider) Check {
	return Check{Name: "aws-credentials", Look: func(ctx context.Context) (string, error) {
		if p == nil {
			return "", errors.New("none configured")
		}
		c, err := p.Retrieve(ctx)
		if err != nil {
			return "", err
		}
		if !c.CanExpire {
			return "", nil
		}
		if c.Expired() {
			return "", fmt.Errorf("expired at %s", c.Expires.UTC().Format(time.RFC3339))
		}
		return "until " + c.Expires.UTC().Format(time.RFC3339), nil
	}}
}

// Config looks whether the configuration that is on disk now would do for a
// start, as after a crash: one that was broken since is found before that.
func Config(load func() error) Check {
	return Check{Name: "config", Look: func(context.Context) (string, error) { return "", load() }}
}

// Leadership says whether this process leads. Either is well.
func Leadership(leading func() bool) Check {
	return Check{Name: "election", Look: func(context.Context) (string, error) {
		return fmt.Sprintf("leading=%t", leading()), nil
	}}
}

// Services looks whether the leader's services make progress. One that makes
// none while the API server does not answer is waiting, not stuck: to restart
// the controller would change nothing.
func Services(b *progress.Board, api Check) Check {
	return Check{Name: "services", Look: func(ctx context.Context) (string, error) {
		var all, late []string
		for _, s := range b.Standings(time.Now()) {
			line := s.Name + " idle"
			if !s.Idle {
				line = fmt.Sprintf("%s %s ago", s.Name, s.Since.Round(time.Second))
			}
			all = append(all, line)
			if s.Late {
				late = append(late, line)
			}
		}
		text := "last progress: " + strings.Join(all, ", ")
		if len(late) == 0 {
			return text, nil
		}
		if _, err := api.Look(ctx); err != nil {
			return text + "; waiting for the API server: " + err.Error(), nil
		}
		return "", fmt.Errorf("no progress for too long: %s; of all: %s", strings.Join(late, ", "), strings.Join(all, ", "))
	}}
}
