package csr_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/record"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/csr"
)

// stuck never answers while hold is open, whatever the context says.
type stuck struct{ hold chan struct{} }

func (s stuck) Issued(context.Context, string) (bool, error) {
	<-s.hold
	return false, nil
}

func TestAliveIsShownByAFreeWorkerOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, s := fake.NewClientset(), stuck{make(chan struct{})}
		var shown atomic.Int32
		a := csr.NewApprover(csr.Deps{
			Client: client, Tokens: s, LegacyTokens: s, Events: record.NewFakeRecorder(100), Metrics: csr.NewMetrics(prometheus.NewRegistry()),
			Log: slog.New(slog.DiscardHandler), Alive: func() { shown.Add(1) },
		}, policy)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- a.Run(ctx) }()
		time.Sleep(10*time.Minute + time.Second)
		if n := shown.Load(); n < 10 || n > 12 {
			t.Errorf("shown %d times in ten idle minutes", n)
		}
		for i := range 8 { // more than there are workers
			c := &certificatesv1.CertificateSigningRequest{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("csr-", i), CreationTimestamp: metav1.Now()}}
			c.Spec.SignerName = certificatesv1.KubeAPIServerClientKubeletSignerName
			c.Spec.Username, c.Spec.Groups = "system:bootstrap:abcdef", []string{v1alpha1.BootstrapGroup}
			if _, err := client.CertificatesV1().CertificateSigningRequests().Create(t.Context(), c, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		before := shown.Load()
		time.Sleep(10 * time.Minute)
		if n := shown.Load(); n != before {
			t.Errorf("shown %d times while every worker hangs", n-before)
		}
		close(s.hold)
		synctest.Wait()
		if shown.Load() == before {
			t.Error("not shown once a worker is free again")
		}
		cancel()
		<-done
	})
}
