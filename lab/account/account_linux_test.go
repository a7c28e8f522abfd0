package account_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"golang.org/x/crypto/ssh"

	"github.com/joinery/joinery/lab/account"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/image"
	"github.com/joinery/joinery/lab/labtest"
)

// world is an account, and a client that reaches it over its network.
type world struct {
	*account.Account
	t   *testing.T
	ec2 *ec2.Client
}

func open(t *testing.T) world {
	t.Helper()
	k := labtest.Kit(t)
	a, err := account.Open(t.Context(), account.Options{Kit: k, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if a != nil {
		t.Cleanup(func() {
			if left, err := a.Close(labtest.Lasting(t)); err != nil || len(left) > 0 {
				t.Errorf("close: %v, left over: %v", err, left)
			}
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return world{a, t, ec2.NewFromConfig(a.World.Config("operator"))}
}

// launch starts an instance of an image with a new key and waits until it runs.
func (w world) launch(ami string) (types.Instance, ssh.Signer) {
	w.t.Helper()
	key, err := w.ec2.CreateKeyPair(w.t.Context(), &ec2.CreateKeyPairInput{KeyName: aws.String("key-of-" + ami), KeyType: types.KeyTypeEd25519})
	if err != nil {
		w.t.Fatal(err)
	}
	signer, err := ssh.ParsePrivateKey([]byte(*key.KeyMaterial))
	if err != nil {
		w.t.Fatal(err)
	}
	r, err := w.ec2.RunInstances(w.t.Context(), &ec2.RunInstancesInput{
		ImageId: &ami, InstanceType: types.InstanceTypeT3Medium, MinCount: aws.Int32(1), MaxCount: aws.Int32(1),
		KeyName: key.KeyName, SubnetId: aws.String(w.World.Subnets()["us-west-2a"]),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	in := &ec2.DescribeInstancesInput{InstanceIds: []string{*r.Instances[0].InstanceId}}
	quick := func(o *ec2.InstanceRunningWaiterOptions) { o.MinDelay, o.MaxDelay = time.Second, time.Second }
	if err := ec2.NewInstanceRunningWaiter(w.ec2).Wait(w.t.Context(), in, time.Minute, quick); err != nil {
		w.t.Fatal(err)
	}
	return r.Instances[0], signer
}

// login connects as soon as the machine lets the holder of the key in.
func (w world) login(address string, signer ssh.Signer) (*ssh.Client, error) {
	ctx, cancel := context.WithTimeout(w.t.Context(), 3*time.Minute)
	defer cancel()
	config := &ssh.ClientConfig{User: image.StockUser, Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: ssh.InsecureIgnoreHostKey()}
	var last error
	for {
		client, err := w.dial(ctx, net.JoinHostPort(address, "22"), config)
		if err == nil {
			return client, nil
		}
		if ctx.Err() != nil {
			return nil, errors.Join(ctx.Err(), last)
		}
		last = err
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

func (w world) dial(ctx context.Context, address string, config *ssh.ClientConfig) (*ssh.Client, error) {
	conn, err := w.Host.VPC().DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	c, channels, requests, err := ssh.NewClientConn(conn, address, config)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return ssh.NewClient(c, channels, requests), nil
}

func (w world) run(client *ssh.Client, script string) string {
	w.t.Helper()
	s, err := client.NewSession()
	if err != nil {
		w.t.Fatal(err)
	}
	defer s.Close()
	out, err := s.CombinedOutput(script)
	if err != nil {
		w.t.Fatalf("%s: %v: %s", script, err, out)
	}
	return strings.TrimSpace(string(out))
}

// imageOf stops an instance and makes an image of it.
func (w world) imageOf(instance, name string) string {
	w.t.Helper()
	ctx := w.t.Context()
	if _, err := w.ec2.StopInstances(ctx, &ec2.StopInstancesInput{InstanceIds: []string{instance}}); err != nil {
		w.t.Fatal(err)
	}
	quick := func(o *ec2.InstanceStoppedWaiterOptions) { o.MinDelay, o.MaxDelay = time.Second, time.Second }
	if err := ec2.NewInstanceStoppedWaiter(w.ec2).Wait(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{instance}}, time.Minute, quick); err != nil {
		w.t.Fatal(err)
	}
	m, err := w.ec2.CreateImage(ctx, &ec2.CreateImageInput{InstanceId: &instance, Name: &name})
	if err != nil {
		w.t.Fatal(err)
	}
	soon := func(o *ec2.ImageAvailableWaiterOptions) { o.MinDelay, o.MaxDelay = time.Second, time.Second }
	if err := ec2.NewImageAvailableWaiter(w.ec2).Wait(ctx, &ec2.DescribeImagesInput{ImageIds: []string{*m.ImageId}}, 2*time.Minute, soon); err != nil {
		w.t.Fatal(err)
	}
	return *m.ImageId
}

// An image that is made of a changed machine is what a group's instances boot from.
func TestGroupBootsFromTheImageOfAMachine(t *testing.T) {
	w := open(t)
	begin := time.Now()
	say := func(what string) { t.Logf("%5.1f s %s", time.Since(begin).Seconds(), what) }
	i, signer := w.launch(w.Stock.ID)
	say("the stock instance runs")
	client, err := w.login(*i.PrivateIpAddress, signer)
	if err != nil {
		if m, ok := w.Host.Machine(*i.InstanceId); ok {
			out, _ := m.Exec(labtest.Lasting(t), "sh", "-c", "cloud-init status --long; cat /var/log/cloud-init.log | tail -60; systemctl --failed; journalctl -u ssh -n 20 --no-pager; cat /run/cloud-init/ds-identify.log | tail -20")
			t.Log(string(out))
		}
		t.Fatal(err)
	}
	say("the holder of its key is logged in")
	if got := w.run(client, "id -un; sudo -n id -un"); got != "admin\nroot" {
		t.Errorf("logged in as %q", got)
	}
	identity := w.run(client, "cat /etc/machine-id; cat /etc/ssh/ssh_host_ed25519_key.pub")
	w.run(client, "sudo sh -c 'echo baked > /etc/baked; rm /etc/motd; : > /etc/machine-id; mkdir -p /var/lib/containerd/x; echo kept > /var/lib/containerd/x/y'; sync")
	client.Close()

	ami := w.imageOf(*i.InstanceId, "changed-1")
	say("the image is available")
	w.World.PutLaunchTemplate("nodes", awssim.LaunchTemplateData{ImageID: ami, InstanceType: "t3.medium", KeyName: "key-of-" + w.Stock.ID})
	if err := w.World.PutGroup(awssim.GroupSpec{Name: "nodes", LaunchTemplate: "nodes", Max: 1, Desired: 1}); err != nil {
		t.Fatal(err)
	}
	g, err := w.World.Group("nodes")
	if err != nil || len(g.Members) != 1 {
		t.Fatalf("group %+v: %v", g, err)
	}
	member, err := w.World.Instance(g.Members[0].InstanceID)
	if err != nil {
		t.Fatal(err)
	}
	if client, err = w.login(member.PrivateIP, signer); err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	say("the group's instance lets the same key in")
	if got := w.run(client, "cat /etc/baked; sudo cat /var/lib/containerd/x/y; test -e /etc/motd || echo removed"); got != "baked\nkept\nremoved" {
		t.Errorf("on the new machine: %q", got)
	}
	if again := w.run(client, "cat /etc/machine-id; cat /etc/ssh/ssh_host_ed25519_key.pub"); again == identity || len(again) < 40 {
		t.Errorf("the new machine has the identity of the old one: %q", again)
	}
}
