package awssim

import (
	"strings"
	"time"
)

// rate is a token bucket's size and how many tokens a second it gets.
type rate struct{ size, refill float64 }

// Rates of EC2's requests, for each action by itself.
// https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html
var (
	ec2Reads      = rate{100, 20}
	ec2OpenReads  = rate{50, 10} // without a filter and without pages
	ec2Writes     = rate{50, 5}
	ec2Launches   = rate{5, 2} // RunInstances, StartInstances
	ssmReads      = rate{40, 40}
	ssmWrites     = rate{3, 3}
	groupReads    = rate{40, 10}
	groupWrites   = rate{20, 5}
	ssmReadBucket = "GetParameter, GetParameters"
)

// bucket is what is left of a rate.
type bucket struct {
	tokens float64
	at     time.Time // when it was last filled
}

// rateOf finds a request's bucket and its rate; ok is false where none is near
// to matter. Parameter Store's are those of an account that has not bought more
// (https://docs.aws.amazon.com/general/latest/gr/ssm.html: 40 a second shared by
// the reads of parameters, 3 for PutParameter). AutoScaling publishes none; these
// are lower than what those report whom it throttled.
func rateOf(req *request) (key string, r rate, ok bool) {
	read := isRead(req)
	switch {
	case req.service == "ec2" && (req.action == "RunInstances" || req.action == "StartInstances"):
		return req.action, ec2Launches, true
	case req.service == "ec2" && read && !selective(req):
		return req.action + " of all", ec2OpenReads, true
	case req.service == "ec2" && read:
		return req.action, ec2Reads, true
	case req.service == "ec2":
		return req.action, ec2Writes, true
	case req.service == "ssm" && strings.HasPrefix(req.action, "Get"):
		return ssmReadBucket, ssmReads, true
	case req.service == "ssm":
		return req.action, ssmWrites, true
	case req.service == "autoscaling" && read:
		return req.action, groupReads, true
	case req.service == "autoscaling":
		return req.action, groupWrites, true
	}
	return "", rate{}, false
}

// selective reports that an EC2 read names what it wants or takes it in pages.
func selective(req *request) bool {
	for _, name := range req.form.topLevel() {
		if name != "Action" && name != "Version" {
			return true
		}
	}
	return false
}

// takeTokenLocked refuses a request whose bucket is empty.
func (w *World) takeTokenLocked(req *request) error {
	key, r, ok := rateOf(req)
	if !w.Weather.Rates || !ok {
		return nil
	}
	key, now := req.service+" "+key, time.Now()
	b := w.buckets[key]
	if b == nil {
		b = &bucket{r.size, now}
		w.buckets[key] = b
	}
	b.tokens = min(r.size, b.tokens+r.refill*now.Sub(b.at).Seconds())
	b.at = now
	if b.tokens < 1 {
		return throttled(req.service)
	}
	b.tokens--
	return nil
}
