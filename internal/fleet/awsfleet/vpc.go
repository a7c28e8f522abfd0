package awsfleet

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
)

// metadataAPI is the part of the instance metadata client that OwnVPC uses.
type metadataAPI interface {
	GetMetadata(context.Context, *imds.GetMetadataInput, ...func(*imds.Options)) (*imds.GetMetadataOutput, error)
}

// OwnVPC returns the VPC of this computer's primary interface, by the instance metadata
// service.
func OwnVPC(ctx context.Context, meta metadataAPI) (string, error) {
	mac, err := metadata(ctx, meta, "mac")
	if err != nil {
		return "", err
	}
	return metadata(ctx, meta, "network/interfaces/macs/"+mac+"/vpc-id")
}

func metadata(ctx context.Context, meta metadataAPI, path string) (string, error) {
	out, err := meta.GetMetadata(ctx, &imds.GetMetadataInput{Path: path})
	if err != nil {
		return "", err
	}
	defer out.Content.Close()
	text, err := io.ReadAll(io.LimitReader(out.Content, 1024))
	if err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	return strings.TrimSpace(string(text)), nil
}
