package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"
)

func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "controller.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestValidateListsEveryProblem(t *testing.T) {
	file := write(t, `
apiVersion: joinery.dev/v1alpha1
kind: ControllerConfig
spec:
  endpoint: nowhere
  colour: red
  token: {schedule: "never", ttl: 1s}
`)
	var out bytes.Buffer
	c := command(&out, &out)
	c.SetArgs([]string{"validate", "--config", file})
	err := c.Execute()
	if err == nil {
		t.Fatal("no error")
	}
	report(&out, err)
	for _, field := range []string{"spec.cluster", "spec.endpoint", "spec.colour", "spec.token.ttl"} {
		if !strings.Contains(out.String(), "config: "+field+":") {
			t.Errorf("%s is not named in its own line:\n%s", field, &out)
		}
	}
}

func TestValidateJudgesTheSchedule(t *testing.T) {
	file := write(t, `
apiVersion: joinery.dev/v1alpha1
kind: ControllerConfig
spec: {cluster: demo, endpoint: "10.0.0.1:6443", approver: {stsProof: off}, token: {schedule: "61 * * * *"}}
`)
	if _, err := load(file); err == nil || !strings.Contains(err.Error(), "spec.token.schedule") {
		t.Errorf("got %v", err)
	}
}

func TestValidConfig(t *testing.T) {
	file := write(t, `
apiVersion: joinery.dev/v1alpha1
kind: ControllerConfig
spec: {cluster: demo, endpoint: "10.0.0.1:6443", approver: {stsProof: off}, token: {schedule: "*/10 * * * *", ttl: 40m}}
`)
	var out bytes.Buffer
	c := command(&out, &out)
	c.SetArgs([]string{"validate", "--config", file})
	if err := c.Execute(); err != nil || !strings.Contains(out.String(), "valid") {
		t.Errorf("%v: %s", err, &out)
	}
}

func TestValidateReadsTheFilesThatAreNamed(t *testing.T) {
	put := func(name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	config := func(prices, scheduler string) string {
		return write(t, `
apiVersion: joinery.dev/v1alpha1
kind: ControllerConfig
spec: {cluster: demo, endpoint: "10.0.0.1:6443", approver: {nodeRoles: [node]}, autoscaler: {prices: `+prices+`, schedulerConfig: `+scheduler+`}}
`)
	}
	prices := put("prices.csv", "instanceType,usdPerHour\nm5.large,0.1\n")
	scheduler := put("scheduler.yaml", "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n")
	if _, err := load(config(prices, scheduler)); err != nil {
		t.Error(err)
	}
	for _, tt := range []struct {
		prices, scheduler string
		want              []string
	}{
		{put("bad.csv", "instanceType,usdPerHour\nm5.large,free\n"), put("bad.yaml", "kind: Pod"),
			[]string{"spec.autoscaler.prices: read ", "line 2: usdPerHour of m5.large", "spec.autoscaler.schedulerConfig: read "}},
		{"/nowhere/prices.csv", scheduler, []string{"spec.autoscaler.prices: open /nowhere/prices.csv: no such file"}},
	} {
		_, err := load(config(tt.prices, tt.scheduler))
		for _, want := range tt.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error does not say %q: %v", want, err)
			}
		}
	}
}

func TestMissingConfigIsNotInvalid(t *testing.T) {
	if _, err := load(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestProbes(t *testing.T) {
	away := errors.New("connection refused")
	var down error
	h := handler(prometheus.NewRegistry(), &scaler{}, func(context.Context) error { return down }, func() bool { return true })
	get := func(path string) (int, string) {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
		return rec.Code, rec.Body.String()
	}
	if code, body := get("/readyz"); code != http.StatusOK || !strings.Contains(body, "leading=true") {
		t.Errorf("readyz: %d %s", code, body)
	}
	down = away
	if code, body := get("/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(body, "connection refused") {
		t.Errorf("readyz without API server: %d %s", code, body)
	}
	if code, _ := get("/healthz"); code != http.StatusOK {
		t.Errorf("healthz: %d", code)
	}
	if code, _ := get("/decisions"); code != http.StatusServiceUnavailable {
		t.Errorf("decisions of a standby: %d", code)
	}
}

func TestHangupRotatesOnTheLeaderOnly(t *testing.T) {
	for _, leads := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			hangups, rotations := make(chan os.Signal, 1), 0
			go rotateOnHangup(ctx, hangups, func() { rotations++ }, func() bool { return leads }, slog.New(slog.DiscardHandler))
			hangups <- syscall.SIGHUP
			synctest.Wait()
			cancel()
			synctest.Wait()
			if (rotations == 1) != leads {
				t.Errorf("leading %t: %d rotations", leads, rotations)
			}
		})
	}
}

func TestLentMetricsCanBeRegisteredAgain(t *testing.T) {
	reg := prometheus.NewRegistry()
	for range 2 {
		l := &lent{Registerer: reg}
		if err := l.Register(prometheus.NewCounter(prometheus.CounterOpts{Name: "a", Help: "a"})); err != nil {
			t.Fatal(err)
		}
		l.MustRegister(prometheus.NewCounter(prometheus.CounterOpts{Name: "b", Help: "b"}))
		l.giveBack()
	}
}
