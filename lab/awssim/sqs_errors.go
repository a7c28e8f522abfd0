package awssim

import "net/http"

// sqsErrors are the errors of SQS as its JSON protocol has them: the shape, the
// code that the service used before and that clients still see, by the header
// x-amzn-query-error, and the HTTP status.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/CommonErrors.html
// https://smithy.io/2.0/aws/protocols/aws-query-protocol.html
var sqsErrors = map[string]struct {
	namespace, before string
	status            int
}{
	"QueueDoesNotExist":      {sqsShapes, "AWS.SimpleQueueService.NonExistentQueue", http.StatusBadRequest},
	"QueueNameExists":        {sqsShapes, "QueueAlreadyExists", http.StatusBadRequest},
	"ReceiptHandleIsInvalid": {sqsShapes, "ReceiptHandleIsInvalid", http.StatusNotFound},
	"InvalidAddress":         {sqsShapes, "InvalidAddress", http.StatusNotFound},
	"RequestThrottled":       {sqsShapes, "RequestThrottled", http.StatusForbidden},
	"InvalidMessageContents": {sqsShapes, "InvalidMessageContents", http.StatusBadRequest},
	"InvalidAttributeName":   {sqsShapes, "InvalidAttributeName", http.StatusBadRequest},
	"InvalidAttributeValue":  {sqsShapes, "InvalidAttributeValue", http.StatusBadRequest},

	"AccessDeniedException":               {commonShapes, "AccessDenied", http.StatusForbidden},
	"UnrecognizedClientException":         {commonShapes, "InvalidClientTokenId", http.StatusForbidden},
	"MissingAuthenticationTokenException": {commonShapes, "MissingAuthenticationToken", http.StatusForbidden},
	"InvalidSignatureException":           {commonShapes, "SignatureDoesNotMatch", http.StatusForbidden},
	"ExpiredTokenException":               {commonShapes, "ExpiredToken", http.StatusForbidden},
}

const (
	sqsShapes    = "com.amazonaws.sqs#"
	commonShapes = "com.amazon.coral.service#"
)

func sqsError(code, format string, args ...any) *apiError {
	e := fail(code, format, args...)
	if known, ok := sqsErrors[code]; ok {
		e.status = known.status
	}
	return e
}

func noSuchQueue() *apiError {
	return sqsError("QueueDoesNotExist", "The specified queue does not exist.")
}

func outOfRange(name string, n, low, high int) *apiError {
	return sqsError("InvalidParameterValue", "Value %d for parameter %s is invalid. Reason: Must be >= %d and <= %d, if provided.", n, name, low, high)
}

// encodeSQS writes JSON as SQS does.
func encodeSQS(req *request, result any, e *apiError) *answer {
	var header map[string]string
	if e != nil {
		c := *e
		before, namespace := e.code, commonShapes
		if known, ok := sqsErrors[e.code]; ok {
			before, namespace = known.before, known.namespace
		}
		c.code = namespace + e.code
		header = map[string]string{"X-Amzn-Query-Error": before + ";" + map[bool]string{true: "Receiver", false: "Sender"}[e.status >= 500]}
		e = &c
	}
	a := encodeJSON(req, result, e)
	a.contentType, a.header = "application/x-amz-json-1.0", header
	return a
}
