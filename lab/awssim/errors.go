package awssim

import (
	"fmt"
	"net/http"
)

// apiError is an error as a service tells it: a code that clients switch on, a
// message for people, and the HTTP status.
type apiError struct {
	code    string
	message string
	status  int
	// fields are further members of a JSON error, such as the ones that a
	// cancelled request carries; XML errors have none.
	fields map[string]any
}

func (e *apiError) Error() string { return e.code + ": " + e.message }

// fail makes a client error (HTTP 400, which is what nearly all AWS errors use).
func fail(code, format string, args ...any) *apiError {
	return &apiError{code: code, message: fmt.Sprintf(format, args...), status: http.StatusBadRequest}
}

// invalid is AutoScaling's, SSM's and KMS's answer to a value that breaks a rule.
func invalid(service, format string, args ...any) *apiError {
	code := map[string]string{"autoscaling": "ValidationError", "ec2": "InvalidParameterValue", "iam": "ValidationError", "sts": "ValidationError"}[service]
	if code == "" {
		code = "ValidationException"
	}
	return fail(code, format, args...)
}

// throttled is what a service says to too many requests.
// https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
func throttled(service string) *apiError {
	switch service {
	case "ec2":
		return &apiError{code: "RequestLimitExceeded", message: "Request limit exceeded.", status: http.StatusServiceUnavailable}
	case "ssm", "kms":
		return fail("ThrottlingException", "Rate exceeded")
	case "sqs":
		return sqsError("RequestThrottled", "The request was denied due to request throttling.")
	default:
		return fail("Throttling", "Rate exceeded")
	}
}

// notSimulated tells a test that it asked for a part of AWS that this package
// has not got, instead of acting as if the parameter had not been there.
func notSimulated(service, action, param string) *apiError {
	code := "UnsupportedOperation"
	if service == "ssm" || service == "kms" {
		code = "ValidationException"
	}
	return fail(code, "awssim: parameter %s of %s:%s is not simulated", param, service, action)
}

// missing is a service's complaint about an absent required parameter.
func missing(service, param string) *apiError {
	switch service {
	case "ec2":
		return fail("MissingParameter", "The request must contain the parameter %s", param)
	case "autoscaling", "iam":
		return fail("ValidationError", "1 validation error detected: Value null at '%s' failed to satisfy constraint: Member must not be null", param)
	default:
		return fail("ValidationException", "1 validation error detected: Value null at '%s' failed to satisfy constraint: Member must not be null", param)
	}
}
