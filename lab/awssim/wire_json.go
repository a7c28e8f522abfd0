package awssim

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"strings"
	"time"
)

// decode reads a JSON request strictly: a member that the simulation does not
// know is refused, as checkParams does for the query services.
func decode[T any](req *request) (T, error) {
	var in T
	d := json.NewDecoder(bytes.NewReader(req.body))
	d.DisallowUnknownFields()
	err := d.Decode(&in)
	if err == nil || errors.Is(err, io.EOF) {
		return in, nil
	}
	if field, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return in, notSimulated(req.service, req.action, strings.Trim(field, `"`))
	}
	return in, fail("SerializationException", "%v", err)
}

// epoch is how the JSON services write times: seconds with a fraction.
type epoch time.Time

// MarshalJSON writes the seconds since 1970 with millisecond precision.
func (e epoch) MarshalJSON() ([]byte, error) {
	return json.Marshal(float64(time.Time(e).UnixMilli()) / 1000)
}

func encodeJSON(req *request, result any, e *apiError) *answer {
	a := &answer{status: http.StatusOK, contentType: "application/x-amz-json-1.1", id: req.id}
	if e != nil {
		a.status = e.status
		fields := map[string]any{"__type": e.code}
		if e.message != "" {
			fields["message"] = e.message
		}
		maps.Copy(fields, e.fields)
		result = fields
	}
	if result == nil {
		result = struct{}{}
	}
	body, err := json.Marshal(result)
	if err != nil {
		a.status = http.StatusInternalServerError
		body = []byte(`{"__type":"InternalServerError"}`)
	}
	a.body = body
	return a
}
