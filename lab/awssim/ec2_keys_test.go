package awssim_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"golang.org/x/crypto/ssh"

	"github.com/joinery/joinery/lab/awssim"
)

// An instance's metadata holds the public half of the key that EC2 handed out.
func TestKeyPairReachesTheInstance(t *testing.T) {
	w, c := newWorld(t)
	for _, kind := range []types.KeyType{types.KeyTypeEd25519, types.KeyTypeRsa} {
		name := "packer_" + string(kind)
		made := must(c.ec2.CreateKeyPair(t.Context(), &ec2.CreateKeyPairInput{KeyName: &name, KeyType: kind}))(t)
		signer, err := ssh.ParsePrivateKey([]byte(aws.ToString(made.KeyMaterial)))
		if err != nil {
			t.Fatal(err)
		}
		in := launch(w, awssim.DefaultImageID)
		in.KeyName = &name
		i := must(c.ec2.RunInstances(t.Context(), in))(t).Instances[0]
		client := metadata(w, aws.ToString(i.InstanceId))
		if list, _ := read(t, client, "public-keys/"); list != "0="+name {
			t.Errorf("list of keys %q", list)
		}
		line, _ := read(t, client, "public-keys/0/openssh-key")
		if want := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey()))); !strings.HasPrefix(line, want) {
			t.Errorf("key %q, want %q", line, want)
		}
		shown := must(c.ec2.DescribeKeyPairs(t.Context(), &ec2.DescribeKeyPairsInput{KeyNames: []string{name}}))(t).KeyPairs[0]
		if aws.ToString(shown.KeyFingerprint) != aws.ToString(made.KeyFingerprint) || shown.KeyType != kind {
			t.Errorf("key pair %+v", shown)
		}
		_, err = c.ec2.CreateKeyPair(t.Context(), &ec2.CreateKeyPairInput{KeyName: &name})
		wantCode(t, err, "InvalidKeyPair.Duplicate")
		for range 2 { // the second time there is none, which is no error
			must(c.ec2.DeleteKeyPair(t.Context(), &ec2.DeleteKeyPairInput{KeyName: &name}))(t)
		}
		in.ClientToken = nil // which the SDK set: this is no repetition
		_, err = c.ec2.RunInstances(t.Context(), in)
		wantCode(t, err, "InvalidKeyPair.NotFound")
		_, err = c.ec2.ImportKeyPair(t.Context(), &ec2.ImportKeyPairInput{KeyName: &name, PublicKeyMaterial: []byte("no key")})
		wantCode(t, err, "InvalidKey.Format")
		must(c.ec2.ImportKeyPair(t.Context(), &ec2.ImportKeyPairInput{KeyName: &name, PublicKeyMaterial: []byte(line)}))(t)
	}
}

// First-boot programs read the metadata under the date of the version that they know.
func TestMetadataVersions(t *testing.T) {
	w, _ := newWorld(t)
	i := add(t, w, awssim.InstanceSpec{HTTPTokens: "required"})
	h := http.Client{Transport: awssim.Transport(w.IMDS(i.ID))}
	req := must(http.NewRequestWithContext(t.Context(), http.MethodPut, "http://169.254.169.254/latest/api/token", nil))(t)
	req.Header.Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "60")
	token := must(io.ReadAll(must(h.Do(req))(t).Body))(t)
	for path, want := range map[string]int{"/2021-03-23/meta-data/instance-id": 200, "/2009-04-04/meta-data/instance-id": 200, "/2099-01-01/meta-data/instance-id": 404} {
		req := must(http.NewRequestWithContext(t.Context(), http.MethodGet, "http://169.254.169.254"+path, nil))(t)
		req.Header.Set("X-Aws-Ec2-Metadata-Token", string(token))
		if resp := must(h.Do(req))(t); resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, resp.StatusCode, want)
		}
	}
}

func TestSecurityGroups(t *testing.T) {
	w, c := newWorld(t)
	make := func(name, vpc string) (*ec2.CreateSecurityGroupOutput, error) {
		return c.ec2.CreateSecurityGroup(t.Context(), &ec2.CreateSecurityGroupInput{GroupName: &name, Description: aws.String("d"), VpcId: &vpc})
	}
	id := must(make("packer_1", "vpc-0123456789abcdef0"))(t).GroupId
	for code, args := range map[string][2]string{
		"InvalidGroup.Duplicate": {"packer_1", "vpc-0123456789abcdef0"}, "InvalidVpcID.NotFound": {"two", "vpc-1"}, "VPCIdNotSpecified": {"two", ""},
	} {
		_, err := make(args[0], args[1])
		wantCode(t, err, code)
	}
	in := &ec2.AuthorizeSecurityGroupIngressInput{GroupId: id, IpPermissions: []types.IpPermission{{
		IpProtocol: aws.String("tcp"), FromPort: aws.Int32(22), ToPort: aws.Int32(22), IpRanges: []types.IpRange{{CidrIp: aws.String("0.0.0.0/0")}}}}}
	must(c.ec2.AuthorizeSecurityGroupIngress(t.Context(), in))(t)
	_, err := c.ec2.AuthorizeSecurityGroupIngress(t.Context(), in)
	wantCode(t, err, "InvalidPermission.Duplicate")
	g := must(c.ec2.DescribeSecurityGroups(t.Context(), &ec2.DescribeSecurityGroupsInput{GroupIds: []string{*id}}))(t).SecurityGroups[0]
	if len(g.IpPermissions) != 1 || aws.ToInt32(g.IpPermissions[0].FromPort) != 22 || aws.ToString(g.IpPermissions[0].IpRanges[0].CidrIp) != "0.0.0.0/0" {
		t.Errorf("group %+v", g)
	}
	run := launch(w, awssim.DefaultImageID)
	run.SecurityGroupIds = []string{*id}
	i := must(c.ec2.RunInstances(t.Context(), run))(t).Instances[0]
	if aws.ToString(i.SecurityGroups[0].GroupName) != "packer_1" {
		t.Errorf("groups %+v", i.SecurityGroups)
	}
	_, err = c.ec2.DeleteSecurityGroup(t.Context(), &ec2.DeleteSecurityGroupInput{GroupId: id})
	wantCode(t, err, "DependencyViolation")
	w.Terminate(aws.ToString(i.InstanceId))
	must(c.ec2.DeleteSecurityGroup(t.Context(), &ec2.DeleteSecurityGroupInput{GroupId: id}))(t)
	_, err = c.ec2.DescribeSecurityGroups(t.Context(), &ec2.DescribeSecurityGroupsInput{GroupIds: []string{*id}})
	wantCode(t, err, "InvalidGroup.NotFound")
}
