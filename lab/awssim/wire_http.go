package awssim

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"strings"
	"time"
)

// maxBody bounds a request body; the services here take far less.
const maxBody = 1 << 20

// request is one API call on its way through the world.
type request struct {
	service, action string
	caller          principal
	form            form            // parameters of the query services
	body            []byte          // of the JSON services
	id              string          // request id
	left            <-chan struct{} // closed when the client has left
	log             map[string]string
}

// action is one API action: how it is done and the parameters that the
// simulation knows. Query services name them here; the JSON services decode
// strictly instead. A result of []node is written as XML, anything else as JSON.
type action struct {
	run    func(*World, *request) (any, error)
	params string
}

// services are the actions of each service by name. It is never written to.
var services = map[string]func() map[string]action{
	"ssm":         ssmActions,
	"kms":         kmsActions,
	"sts":         stsActions,
	"ec2":         ec2Actions,
	"autoscaling": asgActions,
	"sqs":         sqsActions,
	"iam":         iamActions,
}

// answer is a complete HTTP answer, or its loss.
type answer struct {
	status      int
	contentType string
	id          string
	header      map[string]string
	body        []byte
	lost        bool // close the connection without a word
}

// ServeHTTP answers all API services at one base URL, as the endpoint that
// AWS_ENDPOINT_URL names does. Metadata is served by IMDS.
func (w *World) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.start()
	w.handle(r).write(rw)
}

// aborter is a ResponseWriter that can drop its connection; the in-process one.
type aborter interface{ abort() }

func (a *answer) write(rw http.ResponseWriter) {
	if a.lost {
		dropConnection(rw)
		return
	}
	h := rw.Header()
	h.Set("Content-Type", a.contentType)
	if a.id != "" {
		h.Set("X-Amzn-Requestid", a.id)
	}
	for k, v := range a.header {
		h.Set(k, v)
	}
	rw.WriteHeader(a.status)
	// A client that left does not get the rest; nobody else is concerned.
	_, _ = rw.Write(a.body)
}

func dropConnection(rw http.ResponseWriter) {
	if a, ok := rw.(aborter); ok {
		a.abort()
		return
	}
	if conn, _, err := http.NewResponseController(rw).Hijack(); err == nil {
		conn.Close()
	}
}

func (w *World) handle(r *http.Request) *answer {
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxBody))
	if err != nil {
		return &answer{status: http.StatusRequestEntityTooLarge, contentType: "text/plain"}
	}
	req, err := route(r, body)
	req.left = r.Context().Done()
	w.mu.Lock()
	req.id = w.uuidLocked("request")
	w.mu.Unlock()
	if err != nil {
		return encode(req, nil, err)
	}
	fault := w.faultFor(req.service, req.action, w.peekRole(r))
	if err := fault.wait(r.Context()); err != nil {
		return &answer{lost: true}
	}
	if fault.fails() {
		err := fault.asError(req.service)
		w.mu.Lock()
		req.caller, _ = w.authenticateLocked(r, req.service, body)
		w.recordLocked(req, err, false)
		w.mu.Unlock()
		return encode(req, nil, err)
	}
	result, err := w.act(r, req, body, fault.loses())
	if fault.loses() {
		return &answer{lost: true}
	}
	return encode(req, result, err)
}

// act performs the action under the lock and records the call.
func (w *World) act(r *http.Request, req *request, body []byte, lost bool) (result any, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer func() { w.recordLocked(req, err, lost) }()
	if req.caller, err = w.authenticateLocked(r, req.service, body); err != nil {
		return nil, err
	}
	if err := w.takeTokenLocked(req); err != nil {
		return nil, err
	}
	a, known := services[req.service]()[req.action]
	if !known {
		return nil, unknownAction(req)
	}
	if err := w.authorizeLocked(req); err != nil {
		return nil, err
	}
	if err := checkParams(req, a); err != nil {
		return nil, err
	}
	if err := checkLimits(req); err != nil {
		return nil, err
	}
	// RunInstances looks at its parameters first.
	if req.service == "ec2" && req.form.str("DryRun") == "true" && req.action != "RunInstances" {
		return nil, dryRun()
	}
	if isRead(req) {
		return a.run(w.seenLocked(req), req)
	}
	w.changingLocked()
	return a.run(w, req)
}

// checkParams refuses parameters that the action would otherwise ignore.
func checkParams(req *request, a action) error {
	for _, key := range req.form.topLevel() {
		switch key {
		case "Action", "Version", "DryRun", "ClientToken":
			continue
		}
		if strings.HasPrefix(key, "X-Amz-") {
			continue // presigned
		}
		if !hasWord(a.params, key) {
			return notSimulated(req.service, req.action, key)
		}
	}
	return nil
}

// hasWord reports that a space-separated list holds a word.
func hasWord(list, word string) bool {
	return strings.Contains(" "+list+" ", " "+word+" ")
}

func unknownAction(req *request) error {
	switch req.service {
	case "ssm", "kms", "sqs":
		return fail("UnknownOperationException", "")
	default:
		return fail("InvalidAction", "The action %s is not valid for this web service.", req.action)
	}
}

// route finds service, action and parameters the way that AWS' own endpoints
// tell their protocols apart.
func route(r *http.Request, body []byte) (*request, error) {
	if target := r.Header.Get("X-Amz-Target"); target != "" {
		prefix, name, _ := strings.Cut(target, ".")
		service := map[string]string{"AmazonSSM": "ssm", "TrentService": "kms", "AmazonSQS": "sqs"}[prefix]
		if service == "" {
			return &request{service: "ssm", action: name}, fail("UnknownOperationException", "")
		}
		return &request{service: service, action: name, body: body}, nil
	}
	f, err := parseForm(r.URL.RawQuery, r.Header.Get("Content-Type"), body)
	if err != nil {
		return &request{service: "sts"}, fail("MalformedQueryString", "The query string contains a syntax error")
	}
	req := &request{action: f.str("Action"), form: f}
	req.service = map[string]string{"2011-06-15": "sts", "2011-01-01": "autoscaling", "2016-11-15": "ec2", "2010-05-08": "iam"}[f.str("Version")]
	if req.service == "" {
		req.service = "sts"
		return req, fail("InvalidAction", "Could not find operation %s for version %s", req.action, orNone(f.str("Version")))
	}
	if req.action == "" {
		return req, fail("MissingAction", "Missing Action")
	}
	return req, nil
}

func orNone(s string) string {
	if s == "" {
		return "NO_VERSION_SPECIFIED"
	}
	return s
}

// encode writes a result or an error in the protocol of the request's service.
func encode(req *request, result any, err error) *answer {
	var e *apiError
	if err != nil && !errors.As(err, &e) {
		e = &apiError{code: "InternalFailure", message: err.Error(), status: http.StatusInternalServerError}
	}
	switch req.service {
	case "ssm", "kms":
		return encodeJSON(req, result, e)
	case "sqs":
		return encodeSQS(req, result, e)
	default:
		nodes, _ := result.([]node)
		return encodeXML(req, nodes, e)
	}
}

// recordLocked appends to the call log.
func (w *World) recordLocked(req *request, err error, lost bool) {
	c := Call{Time: time.Now(), Service: req.service, Action: req.action, Principal: req.caller.role, Session: req.caller.session, Lost: lost}
	var e *apiError
	if errors.As(err, &e) {
		c.Error = e.code
	}
	c.Params = maps.Clone(req.log)
	if c.Params == nil {
		c.Params = req.form.loggable()
	}
	w.calls = append(w.calls, c)
}
