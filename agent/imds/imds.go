// Package imds reads what EC2 says about the instance that it runs on, through
// version 2 of the instance metadata service and never version 1. What is asked
// for is parsed by pure functions; absent, not yet there and wrong are three
// different errors.
package imds

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	sdk "github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/joinery/joinery/internal/identity"
)

// Paths below latest/, under which errors name what was asked for.
const (
	identityPath  = "dynamic/instance-identity/document"
	userDataPath  = "user-data"
	lifecyclePath = "meta-data/autoscaling/target-lifecycle-state"
	macPath       = "meta-data/mac"
	macsPath      = "meta-data/network/interfaces/macs"
	tagsPath      = "meta-data/tags/instance"
)

// maxAnswer bounds an answer; user data, the longest, is 16 KiB.
const maxAnswer = 64 << 10

// Client reads the metadata of the instance that it runs on. It is safe for
// use by several goroutines.
type Client struct {
	sdk *sdk.Client
}

// New returns a client of the service at its well-known address, or where
// AWS_EC2_METADATA_SERVICE_ENDPOINT says. Options are for callers that have
// another address to give.
func New(options ...func(*sdk.Options)) *Client { return &Client{sdk: NewSDK(options...)} }

// Bounds on one attempt, and how many there are. The SDK's own are a quarter of a
// second to connect, half a second for an answer and five for all attempts: made
// for programs that may not be on EC2 at all, and crossed by a small instance
// that is busy with its boot.
const (
	connectTimeout = 5 * time.Second
	attemptTimeout = 15 * time.Second
	attempts       = 5
	longestPause   = 2 * time.Second
)

// NewSDK returns the SDK's client as New uses it, for the SDK's own credential
// provider. It never falls back to version 1 and never uses the machine's HTTP
// proxy, which would answer for its own instance. The caller's context bounds a
// call as a whole.
func NewSDK(options ...func(*sdk.Options)) *sdk.Client {
	return sdk.New(sdk.Options{
		EnableFallback: aws.FalseTernary, DisableDefaultTimeout: true,
		// A BuildableClient would be given the SDK's bounds again.
		HTTPClient: &http.Client{
			Timeout:   attemptTimeout,
			Transport: &http.Transport{DialContext: (&net.Dialer{Timeout: connectTimeout}).DialContext, MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute},
		},
		Retryer: retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxAttempts, o.MaxBackoff = attempts, longestPause
			// The service is this instance's alone: there is no crowd to spare.
			o.RateLimiter = ratelimit.None
		}),
	}, options...)
}

// Facts returns the instance's identity but for the VPC.
func (c *Client) Facts(ctx context.Context) (identity.Facts, error) {
	out, err := c.sdk.GetDynamicData(ctx, &sdk.GetDynamicDataInput{Path: strings.TrimPrefix(identityPath, "dynamic/")})
	if err != nil {
		return identity.Facts{}, classify(identityPath, err)
	}
	data, err := read(identityPath, out.Content)
	if err != nil {
		return identity.Facts{}, err
	}
	return ParseIdentity(data)
}

// VPCID returns the VPC of the primary interface.
func (c *Client) VPCID(ctx context.Context) (string, error) {
	data, err := c.metadata(ctx, macPath)
	if err != nil {
		return "", err
	}
	mac, err := ParseMAC(data)
	if err != nil {
		return "", err
	}
	if data, err = c.metadata(ctx, macsPath+"/"+mac+"/vpc-id"); err != nil {
		return "", err
	}
	return ParseVPCID(data)
}

// UserData returns what the instance was launched with; ErrAbsent without any.
func (c *Client) UserData(ctx context.Context) ([]byte, error) {
	out, err := c.sdk.GetUserData(ctx, &sdk.GetUserDataInput{})
	if err != nil {
		return nil, classify(userDataPath, err)
	}
	return read(userDataPath, out.Content)
}

// Tag returns the value of one of the instance's tags; ErrAbsent when there is
// none of that key, or when the instance does not expose its tags
// (InstanceMetadataTags).
func (c *Client) Tag(ctx context.Context, key string) (string, error) {
	data, err := c.metadata(ctx, tagsPath+"/"+key)
	if err != nil {
		return "", err
	}
	return string(data), nil
}

// LifecycleState returns what the instance's Auto Scaling group wants it to be;
// ErrAbsent outside of a group.
func (c *Client) LifecycleState(ctx context.Context) (LifecycleState, error) {
	data, err := c.metadata(ctx, lifecyclePath)
	if err != nil {
		return "", err
	}
	return ParseLifecycleState(data)
}

func (c *Client) metadata(ctx context.Context, path string) ([]byte, error) {
	out, err := c.sdk.GetMetadata(ctx, &sdk.GetMetadataInput{Path: strings.TrimPrefix(path, "meta-data/")})
	if err != nil {
		return nil, classify(path, err)
	}
	return read(path, out.Content)
}

func read(path string, body io.ReadCloser) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(body, maxAnswer+1))
	if err = errors.Join(err, body.Close()); err != nil {
		return nil, &UnavailableError{Path: path, Err: err}
	}
	if len(data) > maxAnswer {
		return nil, &InvalidError{Path: path, Detail: fmt.Sprintf("longer than %d bytes", maxAnswer)}
	}
	return data, nil
}

// classify keeps a 404 apart from everything else. A 404 of the token request
// itself never comes here: without a fallback the SDK fails with another error.
func classify(path string, err error) error {
	var answer *smithyhttp.ResponseError
	if !errors.As(err, &answer) {
		return &UnavailableError{Path: path, Err: err}
	}
	if answer.HTTPStatusCode() == http.StatusNotFound {
		return fmt.Errorf("instance metadata %s: %w", path, ErrAbsent)
	}
	return &UnavailableError{Path: path, Status: answer.HTTPStatusCode(), Err: err}
}
