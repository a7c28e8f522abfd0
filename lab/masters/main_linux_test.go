package masters_test

import (
	"os"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/lab/site"
	"github.com/joinery/joinery/lab/site/sitetest"
)

const clusterName = "masters"

// installation is the cluster of all tests.
var installation = sitetest.Shared{
	Within:   8 * time.Minute,
	Packages: true,
	Options: site.Options{Cluster: clusterName, Masters: 3, Configure: func(s *v1alpha1.ControllerSpec) {
		// No rotation but those that a test asks for.
		s.Token.Schedule = "@every 1h"
		s.Token.Overlap = metav1.Duration{Duration: time.Minute}
	}},
}

func TestMain(m *testing.M) { os.Exit(installation.Main(m)) }

// open returns the cluster, in a state that every test may start from: all
// masters are well, a controller runs on each, and one of them leads.
func open(t *testing.T) *trio {
	t.Helper()
	c := &trio{Site: installation.Open(t), t: t}
	c.awaitCalm()
	return c
}
