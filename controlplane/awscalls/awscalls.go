// Package awscalls counts what the controller asks of AWS and what AWS answers,
// for all clients that are made from one configuration.
package awscalls

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	"github.com/prometheus/client_golang/prometheus"
)

// Results of calls that AWS did not answer with an error code.
const (
	// OK is a call that was done.
	OK = "ok"
	// Canceled is one that nobody waited for any more.
	Canceled = "canceled"
	// Unreachable is one that met no answer.
	Unreachable = "unreachable"
)

// Count registers a counter and has every client that is made from c count its
// calls, each once with all its attempts.
func Count(c *aws.Config, reg prometheus.Registerer) {
	calls := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "joinery_aws_calls_total",
		Help: "Calls to AWS, retries included, by result: ok, unreachable, canceled, or the error code that AWS gave.",
	}, []string{"service", "operation", "result"})
	reg.MustRegister(calls)
	c.APIOptions = append(c.APIOptions, func(s *middleware.Stack) error {
		// After the SDK's own, which says in ctx what is called.
		return s.Initialize.Add(middleware.InitializeMiddlewareFunc("JoineryCountCalls",
			func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
				out, meta, err := next.HandleInitialize(ctx, in)
				calls.WithLabelValues(awsmiddleware.GetServiceID(ctx), awsmiddleware.GetOperationName(ctx), result(ctx, err)).Inc()
				return out, meta, err
			}), middleware.After)
	})
}

func result(ctx context.Context, err error) string {
	var answered smithy.APIError
	switch {
	case err == nil:
		return OK
	case errors.As(err, &answered):
		return answered.ErrorCode()
	case errors.Is(ctx.Err(), context.Canceled):
		return Canceled
	}
	return Unreachable
}
