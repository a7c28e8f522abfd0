package imds

import (
	"encoding/json"
	"net"
	"regexp"
	"strings"

	"github.com/joinery/joinery/internal/identity"
	"github.com/joinery/joinery/internal/quote"
)

// ParseIdentity reads an instance identity document. Fields that it does not
// know are ignored: AWS adds some. Errors are *InvalidError.
func ParseIdentity(data []byte) (identity.Facts, error) {
	var d struct {
		AccountID        string `json:"accountId"`
		AvailabilityZone string `json:"availabilityZone"`
		ImageID          string `json:"imageId"`
		InstanceID       string `json:"instanceId"`
		InstanceType     string `json:"instanceType"`
		PrivateIP        string `json:"privateIp"`
		Region           string `json:"region"`
	}
	if err := json.Unmarshal(data, &d); err != nil {
		return identity.Facts{}, &InvalidError{Path: identityPath, Detail: "not an instance identity document: " + err.Error()}
	}
	f := identity.Facts{
		InstanceID: d.InstanceID, Region: d.Region, Zone: d.AvailabilityZone, PrivateIP: d.PrivateIP,
		ImageID: d.ImageID, AccountID: d.AccountID, InstanceType: d.InstanceType,
	}
	if _, err := identity.ProviderID(f); err != nil {
		return identity.Facts{}, &InvalidError{Path: identityPath, Detail: err.Error()}
	}
	return f, nil
}

// LifecycleState is the state that an Auto Scaling group wants its instance to
// be in ("Retrieve the target lifecycle state through instance metadata"). It
// is a target: InService is seen while the instance is still Pending:Wait.
type LifecycleState string

// The target states that instances act upon.
const (
	// InService instances work, or are about to.
	InService LifecycleState = "InService"
	// Terminated instances are about to go.
	Terminated LifecycleState = "Terminated"
)

// Warmed says that the instance is for a warm pool: it prepares and waits, and
// may be stopped at any time.
func (s LifecycleState) Warmed() bool { return strings.HasPrefix(string(s), "Warmed:") }

// lifecycleStates are the values that AWS documents.
var lifecycleStates = map[LifecycleState]bool{
	"Detached": true, InService: true, "Standby": true, Terminated: true,
	"Warmed:Hibernated": true, "Warmed:Running": true, "Warmed:Stopped": true, "Warmed:Terminated": true,
}

// ParseLifecycleState reads a target lifecycle state. A state that AWS does not
// document is an error: to guess could let a pooled instance join. Errors are
// *InvalidError.
func ParseLifecycleState(data []byte) (LifecycleState, error) {
	s := LifecycleState(strings.TrimSpace(string(data)))
	if !lifecycleStates[s] {
		return "", &InvalidError{Path: lifecyclePath, Detail: "unknown target lifecycle state " + quote.Text(string(s))}
	}
	return s, nil
}

// ParseMAC reads the MAC address of the primary interface. Errors are
// *InvalidError.
func ParseMAC(data []byte) (string, error) {
	text := strings.TrimSpace(string(data))
	mac, err := net.ParseMAC(text)
	if err != nil || len(mac) != 6 {
		return "", &InvalidError{Path: macPath, Detail: "not a MAC address: " + quote.Text(text)}
	}
	return mac.String(), nil
}

var vpcID = regexp.MustCompile(`^vpc-[0-9a-f]{8}([0-9a-f]{9})?$`)

// ParseVPCID reads the VPC of an interface. Errors are *InvalidError.
func ParseVPCID(data []byte) (string, error) {
	text := strings.TrimSpace(string(data))
	if !vpcID.MatchString(text) {
		return "", &InvalidError{Path: macsPath, Detail: "not a VPC id: " + quote.Text(text)}
	}
	return text, nil
}
