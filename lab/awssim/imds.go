package awssim

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Headers of IMDSv2.
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html
const (
	tokenHeader    = "X-Aws-Ec2-Metadata-Token"
	tokenTTLHeader = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds"
	longestToken   = 21600 // seconds
)

// metadataVersions are those that cloud-init asks for. They all have what the latest has.
const metadataVersions = "latest 2009-04-04 2016-09-02 2018-09-24 2021-03-23"

// MaintenanceEvent is a scheduled event as the metadata service lists it.
type MaintenanceEvent struct {
	EventID     string
	Code        string // such as system-reboot or instance-retirement
	Description string
	State       string // active when empty
	NotBefore   time.Time
	NotAfter    time.Time
}

// IMDS returns the metadata service as one instance sees it. Which machine
// reaches it, and with which IP TTL it answers (Instance.HopLimit), is up to
// the listener. It drops connections while the instance does not run.
func (w *World) IMDS(instanceID string) http.Handler {
	w.start()
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		a, f := w.metadata(instanceID, r)
		if err := f.wait(r.Context()); err != nil || f.loses() {
			a = &answer{lost: true}
		}
		a.write(rw)
	})
}

func text(status int, body string) *answer {
	return &answer{status: status, contentType: "text/plain", body: []byte(body), header: map[string]string{"Server": "EC2ws"}}
}

// metadata answers one request and records it. A fault that delays or loses the
// answer is left to the caller, outside the lock.
func (w *World) metadata(id string, r *http.Request) (*answer, *fault) {
	// The body of a token request is empty; anything else is dropped.
	_, _ = io.Copy(io.Discard, http.MaxBytesReader(nil, r.Body, maxBody))
	w.mu.Lock()
	defer w.mu.Unlock()
	a, f := w.metadataLocked(w.instances[id], r)
	c := Call{Time: time.Now(), Service: "imds", Action: r.Method + " " + r.URL.Path, Principal: id, Lost: a.lost || f.loses()}
	if a.status >= http.StatusBadRequest {
		c.Error = strconv.Itoa(a.status)
	}
	w.calls = append(w.calls, c)
	return a, f
}

func (w *World) metadataLocked(i *instance, r *http.Request) (*answer, *fault) {
	late := i != nil && w.lateLocked(i, func(f Fault) time.Duration { return f.LateIMDS })
	if i == nil || late || i.State == Terminated || i.State == Stopped {
		return &answer{lost: true}, nil
	}
	f := w.imdsFaultLocked(i.ID, r.URL.Path)
	if f.fails() {
		status := f.Status
		setDefault(&status, http.StatusServiceUnavailable)
		return text(status, f.Message), f
	}
	return w.metadataAnswerLocked(i, r), f
}

func (w *World) imdsFaultLocked(id, path string) *fault {
	for _, f := range w.faults {
		acts := f.Service == "imds" && (f.Delay > 0 || f.Code != "" || f.LoseAnswer)
		if acts && strings.HasPrefix(path, f.Action) && (f.InstanceID == "" || f.InstanceID == id) && w.hitLocked(f) {
			return f
		}
	}
	return nil
}

func (w *World) metadataAnswerLocked(i *instance, r *http.Request) *answer {
	switch {
	case i.HTTPEndpoint == "disabled":
		return text(http.StatusForbidden, "403 - Forbidden")
	case r.URL.Path == "/latest/api/token":
		return i.token(r)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		return text(http.StatusMethodNotAllowed, "405 - Method Not Allowed")
	}
	token := r.Header.Get(tokenHeader)
	if token == "" && i.HTTPTokens == "optional" {
		return w.pathLocked(i, r.URL.Path)
	}
	if end, ok := i.imdsTokens[token]; !ok || !time.Now().Before(end) {
		delete(i.imdsTokens, token)
		return text(http.StatusUnauthorized, "401 - Unauthorized")
	}
	return w.pathLocked(i, r.URL.Path)
}

// token starts a metadata session. A request that came through a proxy is
// refused: that is what keeps an open proxy on the machine from lending its
// identity out.
func (i *instance) token(r *http.Request) *answer {
	if r.Method != http.MethodPut {
		return text(http.StatusMethodNotAllowed, "405 - Method Not Allowed")
	}
	if r.Header.Get("X-Forwarded-For") != "" {
		return text(http.StatusForbidden, "403 - Forbidden")
	}
	ttl, err := strconv.Atoi(r.Header.Get(tokenTTLHeader))
	if err != nil || ttl < 1 || ttl > longestToken {
		return text(http.StatusBadRequest, "400 - Bad Request")
	}
	for t, end := range i.imdsTokens {
		if !time.Now().Before(end) {
			delete(i.imdsTokens, t)
		}
	}
	t := randomText(39)
	i.imdsTokens[t] = time.Now().Add(time.Duration(ttl) * time.Second)
	a := text(http.StatusOK, t)
	a.header[tokenTTLHeader] = strconv.Itoa(ttl)
	return a
}

func (w *World) pathLocked(i *instance, path string) *answer {
	version, rest, ok := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if !ok || !hasWord(metadataVersions, version) {
		if path == "/" || path == "/latest" {
			return text(http.StatusOK, map[string]string{"/": strings.ReplaceAll(metadataVersions, " ", "\n"), "/latest": "dynamic\nmeta-data\nuser-data"}[path])
		}
		return notFound()
	}
	if rest == "user-data" {
		if len(i.UserData) == 0 {
			return notFound()
		}
		a := text(http.StatusOK, string(i.UserData))
		a.contentType = "application/octet-stream"
		return a
	}
	if rest == "" {
		return text(http.StatusOK, "dynamic\nmeta-data\nuser-data")
	}
	body, ok := lookup(w.treeLocked(i), rest)
	if !ok {
		return notFound()
	}
	return text(http.StatusOK, body)
}

func notFound() *answer { return text(http.StatusNotFound, "404 - Not Found") }

// SetSpotAction scripts a spot interruption notice: action is terminate, stop
// or hibernate and at the time that it will happen. An empty action takes the
// notice back.
func (w *World) SetSpotAction(instanceID, action string, at time.Time) {
	w.onInstance(instanceID, func(i *instance) { i.spotAction, i.spotTime = action, at })
}

// SetRebalance scripts a rebalance recommendation; the zero time takes it back.
func (w *World) SetRebalance(instanceID string, noticed time.Time) {
	w.onInstance(instanceID, func(i *instance) { i.rebalanceTime = noticed })
}

// SetMaintenance scripts the scheduled maintenance events of an instance.
func (w *World) SetMaintenance(instanceID string, events ...MaintenanceEvent) {
	w.onInstance(instanceID, func(i *instance) { i.maintenance = events })
}

func (w *World) onInstance(id string, do func(*instance)) {
	w.start()
	w.mu.Lock()
	defer w.mu.Unlock()
	if i := w.instances[id]; i != nil {
		w.changingLocked()
		do(i)
	}
}
