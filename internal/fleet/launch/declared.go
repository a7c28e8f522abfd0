package launch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/aws/smithy-go"

	"github.com/joinery/joinery/internal/fleet"
)

// Declarations reads which labels the operator wants on nodes. It is safe for
// concurrent use.
type Declarations struct {
	cluster   string
	templates *Templates
}

// NewDeclarations returns the declarations of a cluster's groups.
func NewDeclarations(templates *Templates, cluster string) *Declarations {
	return &Declarations{cluster: cluster, templates: templates}
}

// UnreadableError says that a declaration holds something that cannot be read.
// The rest of it holds.
type UnreadableError struct{ err error }

// Error says what cannot be read.
func (e *UnreadableError) Error() string { return e.err.Error() }

// Unwrap returns the cause.
func (e *UnreadableError) Unwrap() error { return e.err }

// Labels returns what is declared for an instance that was launched from the
// version that from names (nil for a launch configuration) into a group with
// these tags: the NodeConfig's labels, with those of the node-template tags on
// top. With an *UnreadableError it returns what could be read.
func (d *Declarations) Labels(ctx context.Context, from *fleet.TemplateRef, tags map[string]string) (map[string]string, error) {
	labels := map[string]string{}
	var unreadable error
	if from != nil {
		lt, err := d.templates.Get(ctx, *from, time.Minute)
		var answer smithy.APIError
		switch deleted := errors.As(err, &answer) && strings.HasPrefix(answer.ErrorCode(), "InvalidLaunchTemplate"); {
		case deleted:
			unreadable = err
		case err != nil:
			return nil, err
		default:
			nc, err := parseUserData(lt.UserData, d.cluster, d.cluster)
			if err != nil {
				unreadable = fmt.Errorf("user data of launch template %s version %s: %w", lt.ID, lt.Version, err)
				break
			}
			maps.Copy(labels, nc.Spec.Labels)
		}
	}
	over, err := ParseTags(tags)
	maps.Copy(labels, over.Labels)
	if err = errors.Join(unreadable, err); err != nil {
		return labels, &UnreadableError{err}
	}
	return labels, nil
}
