package masters_test

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/joinery/joinery/lab/cluster"
)

// clientPEM is the leader's credential, as its unit and joinery-credentials.service
// agree on it.
const clientPEM = "/etc/joinery/private/controller/client.pem"

var expiryMetric = regexp.MustCompile(`(?m)^joinery_client_certificate_expiry_timestamp_seconds (\S+)$`)

// expiry is when the certificate of the controller on m ends, by its metric.
func (c *trio) expiry(ctx context.Context, m cluster.Master) (time.Time, error) {
	metrics, err := c.Ask(ctx, m, "/metrics")
	if err != nil {
		return time.Time{}, err
	}
	found := expiryMetric.FindStringSubmatch(metrics)
	if found == nil {
		return time.Time{}, fmt.Errorf("the controller on %s has no metric of its certificate", m.NodeName)
	}
	seconds, err := strconv.ParseFloat(found[1], 64)
	return time.Unix(int64(seconds), 0), err
}

func (c *trio) mustExpiry(m cluster.Master) time.Time {
	c.t.Helper()
	at, err := c.expiry(c.t.Context(), m)
	if err != nil {
		c.t.Fatal(err)
	}
	return at
}
