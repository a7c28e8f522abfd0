package awssim_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/bubble"
)

// TestPresignedIdentity: a presigned GetCallerIdentity, bound to something by a
// signed header, proves an identity to whoever sends it on, unaltered and in time.
func TestPresignedIdentity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := newWorld(t)
		defer w.Close()
		p := must(sts.NewPresignClient(c.sts).PresignGetCallerIdentity(t.Context(), nil, func(o *sts.PresignOptions) {
			o.ClientOptions = append(o.ClientOptions, sts.WithAPIOptions(smithyhttp.AddHeaderValue("X-Joinery-Csr", "abc")))
		}))(t)
		send := func(header, url string) (int, string) {
			req := must(http.NewRequestWithContext(t.Context(), p.Method, url, nil))(t)
			req.Header.Set("X-Joinery-Csr", header)
			resp := must(w.Transport().RoundTrip(req))(t)
			return resp.StatusCode, string(must(io.ReadAll(resp.Body))(t))
		}
		if status, body := send("abc", p.URL); status != 200 || !strings.Contains(body, "assumed-role/controller/lab") {
			t.Errorf("as signed: %d %s", status, body)
		}
		if status, body := send("other", p.URL); status != 403 || !strings.Contains(body, "SignatureDoesNotMatch") {
			t.Errorf("altered header: %d %s", status, body)
		}
		if status, _ := send("abc", strings.Replace(p.URL, "Action=GetCallerIdentity", "Action=GetSessionToken", 1)); status != 403 {
			t.Errorf("altered action: %d", status)
		}
		bubble.Sleep(16 * time.Minute)
		if status, _ := send("abc", p.URL); status != 403 {
			t.Errorf("expired: %d", status)
		}
	})
}

// signed sends a body as a signed request to a service and returns the answer.
func signed(t *testing.T, w *awssim.World, service, target string, body []byte) (*http.Response, []byte) {
	req := must(http.NewRequestWithContext(t.Context(), http.MethodPost, "http://awssim.invalid/", bytes.NewReader(body)))(t)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if target != "" {
		req.Header.Set("X-Amz-Target", target)
	}
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(t.Context(), w.Credentials("fuzz"), req, hex.EncodeToString(sum[:]), service, "us-west-2", time.Now()); err != nil {
		t.Fatal(err)
	}
	resp := must(w.Transport().RoundTrip(req))(t)
	return resp, must(io.ReadAll(resp.Body))(t)
}

// FuzzQuery: whatever is sent is answered in XML and never with a server fault.
func FuzzQuery(f *testing.F) {
	for _, s := range []string{
		"Action=DescribeInstances&Version=2016-11-15&Filter.1.Name=tag:a&Filter.1.Value.1=b*?\\",
		"Action=CreateLaunchTemplate&Version=2016-11-15&LaunchTemplateName=abc&LaunchTemplateData.ImageId=ami-1&LaunchTemplateData.TagSpecification.1.Tag.1.Key=x",
		"Action=CreateAutoScalingGroup&Version=2011-01-01&AutoScalingGroupName=n&MinSize=0&MaxSize=1&LaunchTemplate.LaunchTemplateName=nodes&AvailabilityZones.member.1=us-west-2a",
		"Action=SetDesiredCapacity&Version=2011-01-01&AutoScalingGroupName=g&DesiredCapacity=-1",
		"Action=DescribeInstanceTypes&Version=2016-11-15&MaxResults=5&NextToken=awssim-page-99999999999999999999",
		"Action=PutWarmPool&Version=2011-01-01&AutoScalingGroupName=g&MinSize=1&MaxGroupPreparedCapacity=-1&PoolState=Running&InstanceReusePolicy.ReuseOnScaleIn=true",
		"Action=DeleteWarmPool&Version=2011-01-01&AutoScalingGroupName=g&ForceDelete=true",
		"Action=PutLifecycleHook&Version=2011-01-01&AutoScalingGroupName=g&LifecycleHookName=h&LifecycleTransition=autoscaling:EC2_INSTANCE_LAUNCHING",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		w, _ := newWorld(t)
		template(w)
		if err := w.PutGroup(awssim.GroupSpec{Name: "g", LaunchTemplate: "nodes", Max: 2, Desired: 1}); err != nil {
			t.Fatal(err)
		}
		service := "ec2"
		if q, err := url.ParseQuery(body); err == nil && q.Get("Version") == "2011-01-01" {
			service = "autoscaling"
		}
		resp, out := signed(t, w, service, "", []byte(body))
		if resp.StatusCode >= 500 || !bytes.HasPrefix(out, []byte("<?xml")) {
			t.Errorf("status %d: %s", resp.StatusCode, out)
		}
	})
}

// FuzzJSON does the same for the JSON services.
func FuzzJSON(f *testing.F) {
	f.Add("PutParameter", `{"Name":"/a","Value":"v","Type":"SecureString"}`)
	f.Add("GetParameter", `{"Name":"/joinery:1","WithDecryption":true}`)
	f.Add("GetParameter", `{"Name":`)
	f.Add("Decrypt", `{"CiphertextBlob":"AQIk"}`)
	f.Fuzz(func(t *testing.T, action, body string) {
		w, _ := newWorld(t)
		for service, prefix := range map[string]string{"ssm": "AmazonSSM.", "kms": "TrentService."} {
			resp, out := signed(t, w, service, prefix+action, []byte(body))
			if resp.StatusCode >= 500 || !bytes.HasPrefix(out, []byte("{")) {
				t.Errorf("status %d: %s", resp.StatusCode, out)
			}
		}
	})
}

// FuzzIMDSPath: no path ends in anything but 200 or 404.
func FuzzIMDSPath(f *testing.F) {
	for _, s := range []string{"/latest/meta-data/", "/latest//meta-data", "/latest/meta-data/tags/instance/../x", "", "/latest"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		w, _ := newWorld(t)
		i := add(t, w, awssim.InstanceSpec{HTTPTokens: "optional"})
		req := must(http.NewRequestWithContext(t.Context(), http.MethodGet, "http://169.254.169.254/", nil))(t)
		req.URL.Path = path
		resp := must(awssim.Transport(w.IMDS(i.ID)).RoundTrip(req))(t)
		if resp.StatusCode != 200 && resp.StatusCode != 404 && path != "/latest/api/token" {
			t.Errorf("%q: %d", path, resp.StatusCode)
		}
	})
}
