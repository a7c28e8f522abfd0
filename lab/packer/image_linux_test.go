package packer_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/deploy/iam"
	"github.com/joinery/joinery/lab/account"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/bakery"
	"github.com/joinery/joinery/lab/cluster"
	"github.com/joinery/joinery/lab/image"
	"github.com/joinery/joinery/lab/kit"
	"github.com/joinery/joinery/lab/labtest"
	"github.com/joinery/joinery/lab/machine"
	"github.com/joinery/joinery/lab/site"
	"github.com/joinery/joinery/lab/site/sitetest"
	"github.com/joinery/joinery/lab/vpc"
	"github.com/joinery/joinery/packer/bake"
	"github.com/joinery/joinery/systemd"
)

// role is the one that packer runs as, held to deploy/iam's policy.
const role = "packer"

// installation is a cluster that nodes of the image join.
var installation = sitetest.Shared{
	Within: 8 * time.Minute,
	Options: site.Options{Cluster: "baked", Configure: func(s *v1alpha1.ControllerSpec) {
		s.Autoscaler.ScaleDown.Disabled = true
	}},
}

func TestMain(m *testing.M) { os.Exit(installation.Main(m)) }

// builder is an account with a cluster, in which packer may build.
type builder struct {
	*site.Site
	account.Account
	t *testing.T
	// shelf is what an image is made of.
	shelf *bakery.Store
}

// open makes the cluster's account one in which there is a stock image to build from.
func open(t *testing.T) builder {
	t.Helper()
	s, k := installation.Open(t), labtest.Kit(t)
	hypervisor := s.World.Hypervisor.(*cluster.Hypervisor)
	boots(t, k, hypervisor)
	b := builder{Site: s, Account: account.Account{Host: s.Host, World: s.World}, t: t}
	var err error
	if b.Stock, _, err = account.Publish(t.Context(), k, s.Host, s.World, hypervisor); err != nil {
		t.Fatal(err)
	}
	policy, err := iam.Render("packer", iam.Values{Region: site.Region, Account: s.World.AccountID})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.World.AttachPolicy(role, policy); err != nil {
		t.Fatal(err)
	}
	b.serve(k)
	return b
}

// boots gives instances that are nodes what their machines need to boot in the lab: the
// image itself is as an operator's.
func boots(t *testing.T, k *kit.Kit, h *cluster.Hypervisor) {
	t.Helper()
	files, err := image.Node(k.Programs, k.Pause, site.Region)
	if err != nil {
		t.Fatal(err)
	}
	maps.DeleteFunc(files, func(path string, _ image.File) bool { return strings.HasPrefix(path, image.ControlPlanePrograms) })
	maps.Copy(files, image.DropIn(systemd.Agent, map[string]string{"AWS_ENDPOINT_URL": (&account.Account{}).Endpoint()}))
	was := h.Customize
	h.Customize = func(i awssim.Instance, spec *machine.Spec) {
		was(i, spec)
		if i.Role == site.NodeRole {
			spec.Files = files
		}
	}
}

// serve fills the shelf and serves it in the lab's network.
func (b *builder) serve(k *kit.Kit) {
	b.t.Helper()
	dir := b.t.TempDir()
	own := installation.Own(b.t, "./cmd/joinery-agent")
	var err error
	if b.shelf, err = bakery.NewStore(k, own["joinery-agent"], dir); err != nil {
		b.t.Fatal(err)
	}
	l, err := b.Site.Host.VPC().Listen(b.t.Context(), bakery.Port)
	if err != nil {
		b.t.Fatal(err)
	}
	server := &http.Server{Handler: http.FileServer(http.Dir(dir))}
	go server.Serve(l)
	b.t.Cleanup(func() { server.Close() })
}

// ordered are the template's variables of the build.
func (b builder) ordered(manifest string) map[string]any {
	o := b.shelf.Options(bakery.Address)
	o.Archives = append(o.Archives, b.shelf.ArchivesOf(bakery.Address, bake.ComponentImages)...)
	archives := []map[string]any{}
	for _, a := range o.Archives {
		archives = append(archives, map[string]any{"component": a.Component, "url": a.URL, "checksum": nil})
	}
	repositories := []map[string]any{}
	for _, r := range o.Repositories {
		repositories = append(repositories, map[string]any{
			"name": r.Name, "url": r.URL, "suite": r.Suite, "components": []string{}, "key_file": r.Key.File, "key_fingerprint": r.Key.Fingerprint,
		})
	}
	return map[string]any{
		"region": site.Region, "subnet_id": b.Site.World.Subnets()["us-west-2a"], "ssh_source_cidrs": []string{vpc.Gateway + "/32"}, "ec2_endpoint": b.Endpoint(),
		"architecture": runtime.GOARCH, "kubernetes_version": o.KubernetesVersion, "containerd_version": o.ContainerdVersion,
		"joinery_version": "0.1.0", "pause_image": o.PauseImage, "manifest": manifest, "tags": map[string]string{"team": "nodes"},
		"archives": archives, "repositories": repositories,
		"sums": []map[string]any{{
			"url": o.Sums.URL, "signature_url": o.Sums.SignatureURL, "key_file": o.Sums.Key.File, "key_fingerprint": o.Sums.Key.Fingerprint,
		}},
	}
}

// TestImage bakes an image through packer as an operator does: the builder for EC2 with
// the rights of deploy/iam, our template, SSH, and an image of the instance's volume. A
// group's instance of that image joins the cluster.
func TestImage(t *testing.T) {
	p := labtest.Packer(t)
	b := open(t)
	manifest := filepath.Join(t.TempDir(), "manifest.json")
	begin := time.Now()
	cmd := b.Command(t.Context(), p.Program(), "build", "-var-file="+write(t, b.ordered(manifest)), template)
	cmd.Env = append(append(p.Environment(), b.Environment(role)...), "AWS_POLL_DELAY_SECONDS=1")
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	t.Logf("packer build: %.1f s", time.Since(begin).Seconds())
	baked := b.built(manifest)
	t.Run("image", func(t *testing.T) { b.registered(t, baked) })
	t.Run("leaves nothing", b.leavesNothing)
	t.Run("permissions", b.needs)
	t.Run("node", func(t *testing.T) { b.joins(t, baked) })
}

// built returns the image that packer's manifest names.
func (b builder) built(manifest string) awssim.Image {
	b.t.Helper()
	data, err := os.ReadFile(manifest)
	if err != nil {
		b.t.Fatal(err)
	}
	var m struct {
		Builds []struct {
			ArtifactID string `json:"artifact_id"`
		} `json:"builds"`
	}
	if err := json.Unmarshal(data, &m); err != nil || len(m.Builds) != 1 {
		b.t.Fatalf("%v: %s", err, data)
	}
	id, _ := strings.CutPrefix(m.Builds[0].ArtifactID, site.Region+":")
	all := b.Site.World.Images()
	at := slices.IndexFunc(all, func(i awssim.Image) bool { return i.ID == id })
	if at < 0 {
		b.t.Fatalf("the account has no image %q, of %s", id, data)
	}
	return all[at]
}

// registered checks what EC2 knows of the image.
func (b builder) registered(t *testing.T, i awssim.Image) {
	if i.Public || i.IMDSSupport != "v2.0" || i.State != awssim.ImageAvailable || i.SourceImage != b.Stock.ID {
		t.Errorf("%+v", i)
	}
	if v := i.BlockDevices; len(v) != 1 || v[0].Encrypted == nil || !*v[0].Encrypted || v[0].VolumeGiB != 20 {
		t.Errorf("volumes: %+v", v)
	}
	want := map[string]string{
		"Name":          "joinery " + bakery.KubernetesVersion + " debian-12 " + runtime.GOARCH,
		"joinery:build": "image", "joinery:version": "0.1.0", "joinery:kubernetes-version": bakery.KubernetesVersion,
		"joinery:containerd-version": bakery.ContainerdVersion, "joinery:pause-image": image.Pause, "joinery:system": "debian-12",
		"joinery:architecture": runtime.GOARCH, "joinery:source-image": b.Stock.ID, "joinery:source-image-name": b.Stock.Name, "team": "nodes",
	}
	if diff := cmp.Diff(want, i.Tags); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}
}

// leavesNothing checks that packer's own instance is gone.
func (b builder) leavesNothing(t *testing.T) {
	for _, i := range b.Site.World.Instances() {
		if i.ImageID == b.Stock.ID && i.State != awssim.Terminated {
			t.Errorf("%s is %s", i.ID, i.State)
		}
	}
}

// needs checks that a build makes use of every permission that it has, but for those of
// a template without a subnet and of a build that fails.
func (b builder) needs(t *testing.T) {
	want := []string{
		"Look: ec2:DescribeInstanceTypeOfferings", "Look: ec2:DescribeVpcs",
		"OwnImages: ec2:DeleteSnapshot", "OwnImages: ec2:DeregisterImage", "LeftVolumes: ec2:DeleteVolume",
	}
	if diff := cmp.Diff(want, b.Site.World.UnusedPermissions(role)); diff != "" {
		t.Errorf("permissions that the build did not use (-want +got):\n%s", diff)
	}
}

// joins launches an instance of the image in a group and waits for its node.
func (b builder) joins(t *testing.T, baked awssim.Image) {
	const group = "workers"
	data, err := site.NodeUserData(installation.Options.Cluster, nil)
	if err != nil {
		t.Fatal(err)
	}
	b.Site.World.PutLaunchTemplate(group, awssim.LaunchTemplateData{
		ImageID: baked.ID, InstanceType: "t3.medium", RoleName: site.NodeRole, UserData: base64.StdEncoding.EncodeToString(data), HTTPTokens: "required", HopLimit: 1,
	})
	err = b.Site.World.PutGroup(awssim.GroupSpec{Name: group, Max: 1, Desired: 1, LaunchTemplate: group, Tags: []awssim.Tag{
		{Key: "k8s.io/cluster-autoscaler/enabled", Value: "true"}, {Key: "k8s.io/cluster-autoscaler/" + installation.Options.Cluster, Value: "owned"},
		{Key: v1alpha1.ClusterTag, Value: installation.Options.Cluster, Propagate: true},
	}})
	if err != nil {
		t.Fatal(err)
	}
	b.ready(t, group)
}

// ready waits until the group's only instance is a Ready node of the ordered version.
func (b builder) ready(t *testing.T, group string) {
	t.Helper()
	g, err := b.Site.World.Group(group)
	if err != nil || len(g.Members) != 1 {
		t.Fatalf("%+v, %v", g, err)
	}
	i, err := b.Site.World.Instance(g.Members[0].InstanceID)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	node, err := b.Cluster.WaitNode(ctx, i.PrivateDNSName)
	if err != nil {
		t.Fatal(err)
	}
	if got := node.Status.NodeInfo.KubeletVersion; got != "v"+bakery.KubernetesVersion {
		t.Errorf("its kubelet is %s", got)
	}
	t.Logf("%s is a node of %s", node.Name, i.ImageID)
}
