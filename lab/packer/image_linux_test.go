package packer_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/joinery/joinery/deploy/iam"
	"github.com/joinery/joinery/lab/account"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/bakery"
	"github.com/joinery/joinery/lab/image"
	"github.com/joinery/joinery/lab/labtest"
	"github.com/joinery/joinery/packer/bake"
)

// role is the one that packer runs as, held to deploy/iam's policy.
const role = "packer"

// site is where packer and the machine find packages and archives.
const site = "http://10.99.0.1:8081"

// openAccount makes the simulated AWS with what a build needs.
func openAccount(t *testing.T) (*account.Account, *bakery.Store) {
	t.Helper()
	k := labtest.Kit(t)
	a, err := account.Open(t.Context(), account.Options{Kit: k, LogDir: t.ArtifactDir(), Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		left, err := a.Close(labtest.Lasting(t))
		if err != nil || len(left) > 0 {
			t.Errorf("close: %v, left behind: %q", err, left)
		}
	})
	policy, err := iam.Render("packer", iam.Values{Region: account.Region, Account: a.World.AccountID})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.World.AttachPolicy(role, policy); err != nil {
		t.Fatal(err)
	}
	store, err := bakery.NewStore(t.Context(), k, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	l, err := a.Host.VPC().Listen(t.Context(), 8081)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.FileServer(http.Dir(store.Dir))}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return a, store
}

// ordered are the template's variables of the build.
func ordered(a *account.Account, store *bakery.Store, manifest string) map[string]any {
	key := store.PinnedKey()
	archives := []map[string]any{}
	for _, b := range store.ArchivesOf(site, bake.ComponentContainerd, bake.ComponentRunc, bake.ComponentAgent, bake.ComponentImages) {
		archives = append(archives, map[string]any{"component": b.Component, "url": b.URL, "checksum": nil})
	}
	return map[string]any{
		"region": account.Region, "subnet_id": a.World.Subnets()["us-west-2a"], "ssh_source_cidrs": []string{"10.99.0.1/32"}, "ec2_endpoint": a.Endpoint(),
		"architecture": runtime.GOARCH, "kubernetes_version": bakery.KubernetesVersion, "containerd_version": bakery.ContainerdVersion,
		"joinery_version": "0.1.0", "pause_image": image.Pause, "archives": archives, "manifest": manifest, "tags": map[string]string{"team": "nodes"},
		"repositories": []map[string]any{{
			"name": "kubernetes", "url": site, "suite": "./", "components": []string{}, "key_file": key.File, "key_fingerprint": key.Fingerprint,
		}},
		"sums": []map[string]any{{"url": site + "/SHA256SUMS", "signature_url": site + "/SHA256SUMS.asc", "key_file": key.File, "key_fingerprint": key.Fingerprint}},
	}
}

// TestImage bakes an image through packer as an operator does: the builder for EC2 with
// the rights of deploy/iam, our template, SSH, and the image of the instance's volume.
func TestImage(t *testing.T) {
	p := labtest.Packer(t)
	a, store := openAccount(t)
	manifest := filepath.Join(t.TempDir(), "manifest.json")
	begin := time.Now()
	cmd := a.Command(t.Context(), p.Program(), "build", "-var-file="+write(t, ordered(a, store, manifest)), template)
	cmd.Env = append(append(p.Environment(), a.Environment(role)...), "AWS_POLL_DELAY_SECONDS=1")
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	t.Logf("packer build: %.1f s", time.Since(begin).Seconds())
	baked := built(t, a, manifest)
	t.Run("image", func(t *testing.T) { registered(t, a, baked) })
	t.Run("leaves nothing", func(t *testing.T) { leavesNothing(t, a) })
	t.Run("permissions", func(t *testing.T) { needs(t, a) })
}

// built returns the image that packer's manifest names.
func built(t *testing.T, a *account.Account, manifest string) awssim.Image {
	t.Helper()
	data, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	var m struct {
		Builds []struct {
			ArtifactID string `json:"artifact_id"`
		} `json:"builds"`
	}
	if err := json.Unmarshal(data, &m); err != nil || len(m.Builds) != 1 {
		t.Fatalf("%v: %s", err, data)
	}
	id, _ := strings.CutPrefix(m.Builds[0].ArtifactID, account.Region+":")
	for _, image := range a.World.Images() {
		if image.ID == id {
			return image
		}
	}
	t.Fatalf("the account has no image %q, of %s", id, data)
	return awssim.Image{}
}

// registered checks what EC2 knows of the image.
func registered(t *testing.T, a *account.Account, i awssim.Image) {
	if i.Public || i.IMDSSupport != "v2.0" || i.State != awssim.ImageAvailable || i.SourceImage != a.Stock.ID {
		t.Errorf("%+v", i)
	}
	if len(i.BlockDevices) != 1 || i.BlockDevices[0].Encrypted == nil || !*i.BlockDevices[0].Encrypted || i.BlockDevices[0].VolumeGiB != 20 {
		t.Errorf("volumes: %+v", i.BlockDevices)
	}
	want := map[string]string{
		"Name":          "joinery " + bakery.KubernetesVersion + " debian-12 " + runtime.GOARCH,
		"joinery:build": "image", "joinery:version": "0.1.0", "joinery:kubernetes-version": bakery.KubernetesVersion,
		"joinery:containerd-version": bakery.ContainerdVersion, "joinery:pause-image": image.Pause, "joinery:system": "debian-12",
		"joinery:architecture": runtime.GOARCH, "joinery:source-image": a.Stock.ID, "joinery:source-image-name": a.Stock.Name, "team": "nodes",
	}
	if diff := cmp.Diff(want, i.Tags); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}
}

// leavesNothing checks that packer's own instance is gone.
func leavesNothing(t *testing.T, a *account.Account) {
	for _, i := range a.World.Instances() {
		if i.State != awssim.Terminated {
			t.Errorf("%s is %s", i.ID, i.State)
		}
	}
}

// needs checks that a build needs every permission that it has, but for those of a build
// that fails at its end.
func needs(t *testing.T, a *account.Account) {
	want := []string{"OwnImages: ec2:DeleteSnapshot", "OwnImages: ec2:DeregisterImage", "LeftVolumes: ec2:DeleteVolume"}
	if got := a.World.UnusedPermissions(role); !slices.Equal(got, want) {
		t.Errorf("permissions that the build did not use: %q, want %q", got, want)
	}
}
