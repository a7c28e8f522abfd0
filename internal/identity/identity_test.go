package identity_test

import (
	"errors"
	"testing"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/identity"
)

func facts(change func(*identity.Facts)) identity.Facts {
	f := identity.Facts{InstanceID: "i-0123456789abcdef0", Region: "us-west-2", Zone: "us-west-2a", PrivateIP: "10.99.0.12"}
	if change != nil {
		change(&f)
	}
	return f
}

func TestNodeName(t *testing.T) {
	east := func(f *identity.Facts) { f.Region, f.Zone = "us-east-1", "us-east-1b" }
	for _, tc := range []struct {
		name   string
		change func(*identity.Facts)
		mode   v1alpha1.NodeNameMode
		want   string
		fact   string
	}{
		{name: "ip", mode: v1alpha1.IPName, want: "ip-10-99-0-12.us-west-2.compute.internal"},
		{name: "ip in us-east-1", change: east, mode: v1alpha1.IPName, want: "ip-10-99-0-12.ec2.internal"},
		{name: "resource", mode: v1alpha1.ResourceName, want: "i-0123456789abcdef0.us-west-2.compute.internal"},
		{name: "resource in us-east-1", change: east, mode: v1alpha1.ResourceName, want: "i-0123456789abcdef0.ec2.internal"},
		{name: "id", mode: v1alpha1.InstanceIDName, want: "i-0123456789abcdef0"},
		{name: "gov", change: func(f *identity.Facts) { f.Region = "us-gov-west-1" }, mode: v1alpha1.IPName, want: "ip-10-99-0-12.us-gov-west-1.compute.internal"},
		{name: "no mode", fact: "node name mode"},
		{name: "no ip", change: func(f *identity.Facts) { f.PrivateIP = "" }, mode: v1alpha1.IPName, fact: "PrivateIP"},
		{name: "ipv6", change: func(f *identity.Facts) { f.PrivateIP = "fd00::1" }, mode: v1alpha1.IPName, fact: "PrivateIP"},
		{name: "ip with a zero in front", change: func(f *identity.Facts) { f.PrivateIP = "10.99.0.012" }, mode: v1alpha1.IPName, fact: "PrivateIP"},
		{name: "name as id", change: func(f *identity.Facts) { f.InstanceID = "master-0" }, mode: v1alpha1.InstanceIDName, fact: "InstanceID"},
		{name: "region with a dot", change: func(f *identity.Facts) { f.Region = "us-west-2.evil" }, mode: v1alpha1.IPName, fact: "Region"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := identity.NodeName(facts(tc.change), tc.mode)
			var wrong *identity.FactError
			if tc.fact != "" {
				if !errors.As(err, &wrong) || wrong.Fact != tc.fact {
					t.Fatalf("got %q, %v: want an error about %s", got, err, tc.fact)
				}
				return
			}
			if err != nil || got != tc.want {
				t.Errorf("got %q, %v: want %q", got, err, tc.want)
			}
		})
	}
}

func TestProviderID(t *testing.T) {
	got, err := identity.ProviderID(facts(nil))
	if want := "aws:///us-west-2a/i-0123456789abcdef0"; err != nil || got != want {
		t.Errorf("got %q, %v: want %q", got, err, want)
	}
	for _, zone := range []string{"", "us-west-2", "us-east-1a", "us-west-2a/x"} {
		var wrong *identity.FactError
		if _, err := identity.ProviderID(facts(func(f *identity.Facts) { f.Zone = zone })); !errors.As(err, &wrong) {
			t.Errorf("zone %q: got %v, want a FactError", zone, err)
		}
	}
}

func TestLookupFor(t *testing.T) {
	for _, test := range []struct {
		name string
		mode v1alpha1.NodeNameMode
		want string
		ok   bool
	}{
		{"ip-10-99-0-12.us-west-2.compute.internal", v1alpha1.IPName, "10.99.0.12", true},
		{"ip-10-99-0-12.ec2.internal", v1alpha1.IPName, "", false},
		{"ip-10-99-0-300.us-west-2.compute.internal", v1alpha1.IPName, "", false},
		{"ip-10-99-0-012.us-west-2.compute.internal", v1alpha1.IPName, "", false},
		{"ip-10-99-0-12", v1alpha1.IPName, "", false},
		{"master", v1alpha1.IPName, "", false},
		{"i-0123456789abcdef0", v1alpha1.IPName, "", false},
		{"i-0123456789abcdef0", v1alpha1.InstanceIDName, "i-0123456789abcdef0", true},
		{"i-0123456789abcdef0.us-west-2.compute.internal", v1alpha1.ResourceName, "i-0123456789abcdef0", true},
		{"i-xyz", v1alpha1.InstanceIDName, "", false},
		{"", v1alpha1.ResourceName, "", false},
	} {
		look, ok := identity.LookupFor(test.name, "us-west-2", test.mode)
		got := look.InstanceID
		if look.PrivateIP.IsValid() {
			got = look.PrivateIP.String()
		}
		if ok != test.ok || (ok && got != test.want) {
			t.Errorf("%s as %s: got %q, %t", test.name, test.mode, got, ok)
		}
	}
}
