package vpc

import (
	"net/netip"
	"testing"
)

func TestPortValidate(t *testing.T) {
	for ip, ok := range map[string]bool{
		"10.99.0.11": true, "10.99.0.4": true, "10.99.0.254": true,
		"10.99.0.1": false, "10.99.0.3": false, "10.99.0.255": false, "10.99.1.11": false, "192.168.0.9": false, "::1": false,
	} {
		if err := (Port{IP: netip.MustParseAddr(ip)}).Validate(); (err == nil) != ok {
			t.Errorf("%s: %v", ip, err)
		}
	}
}

func TestPodSubnet(t *testing.T) {
	if got := PodSubnet(netip.MustParseAddr("10.99.0.23")); got != netip.MustParsePrefix("10.244.23.0/24") {
		t.Error(got)
	}
}
