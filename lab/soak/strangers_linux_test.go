package soak_test

import (
	"fmt"

	"github.com/joinery/joinery/lab/storm/flood"
)

// strangers sends sixty false requests, one in ten for an instance
// of the cluster and the others for names that no instance has. Each is denied by
// itself, one every two seconds.
func strangers(k *stroke) (lift, error) {
	i, _, err := k.worker()
	if err != nil {
		return nil, err
	}
	defer k.spare(i.ID)
	thief, err := flood.Steal(k.ctx, k.Site, clusterName, i)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNobody, err)
	}
	thief.Send(k.ctx, 60, 40, func(n int) string {
		if n%10 == 0 {
			return i.PrivateDNSName
		}
		return fmt.Sprintf("ip-10-98-0-%d.us-west-2.compute.internal", n)
	})
	k.on = fmt.Sprintf("%d sent, %d refused", thief.Sent.Load(), thief.Refused.Load())
	return nil, nil
}
