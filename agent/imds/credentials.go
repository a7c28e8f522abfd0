package imds

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/quote"
)

// instanceIdentityPath has the credentials of the role that EC2 gives every
// instance from its launch, with or without an instance profile.
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-instance-identity-roles.html
const instanceIdentityPath = "meta-data/identity-credentials/ec2/security-credentials/ec2-instance"

// Credentials are temporary credentials of an AWS role. The secrets among them
// cannot be printed, logged or encoded.
type Credentials struct {
	AccessKeyID     string
	SecretAccessKey v1alpha1.Secret
	SessionToken    v1alpha1.Secret
	// Expires is when AWS stops accepting them.
	Expires time.Time
}

// LogValue logs which credentials they are.
func (c Credentials) LogValue() slog.Value {
	return slog.GroupValue(slog.String("accessKeyID", c.AccessKeyID), slog.Time("expires", c.Expires))
}

// InstanceIdentity returns the credentials of the instance identity role. Errors
// are
//   - ErrAbsent where EC2 serves none,
//   - *UnavailableError when there are none yet or IMDS gives no answer,
//   - *InvalidError when the answer is no credentials.
func (c *Client) InstanceIdentity(ctx context.Context) (Credentials, error) {
	data, err := c.metadata(ctx, instanceIdentityPath)
	if err != nil {
		return Credentials{}, err
	}
	return ParseCredentials(data, time.Now())
}

// ParseCredentials reads credentials as the metadata service writes them, as of
// now. Errors are *InvalidError, and *UnavailableError for credentials that are
// not ready or have ended. Neither repeats the text.
func ParseCredentials(data []byte, now time.Time) (Credentials, error) {
	var d struct {
		Code            string
		AccessKeyID     string `json:"AccessKeyId"`
		SecretAccessKey string
		Token           string
		Expiration      time.Time
	}
	if err := json.Unmarshal(data, &d); err != nil {
		return Credentials{}, &InvalidError{Path: instanceIdentityPath, Detail: "no JSON document of credentials"}
	}
	if d.Code != "Success" {
		return Credentials{}, notYet("credentials have the code " + quote.Text(d.Code))
	}
	for name, value := range map[string]string{"AccessKeyId": d.AccessKeyID, "SecretAccessKey": d.SecretAccessKey, "Token": d.Token} {
		if value == "" {
			return Credentials{}, &InvalidError{Path: instanceIdentityPath, Detail: "credentials without " + name}
		}
	}
	if !now.Before(d.Expiration) {
		return Credentials{}, notYet(fmt.Sprintf("credentials ended at %s", d.Expiration.UTC().Format(time.RFC3339)))
	}
	return Credentials{
		AccessKeyID: d.AccessKeyID, SecretAccessKey: v1alpha1.Secret(d.SecretAccessKey),
		SessionToken: v1alpha1.Secret(d.Token), Expires: d.Expiration,
	}, nil
}

func notYet(why string) error {
	return &UnavailableError{Path: instanceIdentityPath, Status: 200, Err: errors.New(why)}
}
