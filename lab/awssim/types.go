package awssim

import (
	"maps"
	"slices"
	"time"
)

// State is the state of an EC2 instance, by its EC2 name.
type State string

// The EC2 instance states and the only order in which they follow each other:
// pending to running; running to stopping to stopped to pending; any to
// shutting-down to terminated.
const (
	Pending      State = "pending"
	Running      State = "running"
	ShuttingDown State = "shutting-down"
	Terminated   State = "terminated"
	Stopping     State = "stopping"
	Stopped      State = "stopped"
)

// code is the number that EC2 pairs with a state name.
func (s State) code() int {
	return map[State]int{Pending: 0, Running: 16, ShuttingDown: 32, Terminated: 48, Stopping: 64, Stopped: 80}[s]
}

// gone reports that the instance can never run again.
func (s State) gone() bool { return s == ShuttingDown || s == Terminated }

// Instance is what the world knows about one EC2 instance at one moment. It is
// a copy: changing it changes nothing in the world.
type Instance struct {
	ID             string
	Type           string
	Architecture   string
	VCPUs          int
	MemoryMiB      int
	ImageID        string
	PrivateIP      string
	PrivateDNSName string // ip-a-b-c-d.<region>.compute.internal, or .ec2.internal in us-east-1
	Zone           string
	ZoneID         string
	SubnetID       string
	VPCID          string
	MAC            string
	// Interfaces are the instance's ENIs, the primary one first; PrivateIP and
	// MAC are its.
	Interfaces     []NetworkInterface
	UserData       []byte // decoded, as the guest reads it
	Tags           map[string]string
	Role           string // name of the role whose credentials IMDS hands out; empty: none
	SecurityGroups []string
	KeyName        string
	PublicKey      string // of KeyName, a line of authorized_keys; empty: none

	HTTPTokens           string // required or optional
	HTTPEndpoint         string // enabled or disabled
	HopLimit             int    // IP TTL of IMDS token answers; enforced by the machine's listener
	InstanceMetadataTags string // enabled or disabled

	Group                 string // AutoScaling group that launched it; empty: none
	LaunchTemplateID      string
	LaunchTemplateName    string
	LaunchTemplateVersion int64

	State       State
	StateReason string // code and message of the last transition; empty while none was asked for
	LaunchTime  time.Time
}

func (i Instance) clone() Instance {
	i.Tags = maps.Clone(i.Tags)
	i.UserData = slices.Clone(i.UserData)
	i.SecurityGroups = slices.Clone(i.SecurityGroups)
	i.Interfaces = cloneInterfaces(i.Interfaces)
	return i
}

// InstanceSpec describes an instance that is started outside any group. Empty
// fields take the defaults that are noted.
type InstanceSpec struct {
	Type           string          // t3.medium
	ImageID        string          // DefaultImageID
	Zone           string          // the world's first zone
	VPCID          string          // the world's
	PrivateIP      string          // the next free address
	SecondaryIPs   []string        // further private addresses of the primary interface; none
	IPv6           []string        // of the primary interface; none
	Interfaces     []InterfaceSpec // interfaces besides the primary one; none
	Role           string
	UserData       []byte
	Tags           map[string]string
	SecurityGroups []string

	HTTPTokens           string // required
	HopLimit             int    // 1
	InstanceMetadataTags string // disabled
}

// InstanceType is the part of an EC2 instance type that decides what a node can
// hold.
type InstanceType struct {
	Name           string
	VCPUs          int
	MemoryMiB      int
	Architecture   string // x86_64 or arm64
	ENIs           int
	IPsPerENI      int
	GPUs           int
	GPUName        string
	GPUMaker       string
	GPUMemoryMiB   int
	Burstable      bool
	OldGeneration  bool
	NoSpot         bool
	LocalDiskGB    int
	NetworkSummary string // such as "Up to 10 Gigabit"
}

// LaunchTemplateData is the content of one launch template version. Empty
// fields are unset, which matters when a version is made from another one.
type LaunchTemplateData struct {
	ImageID              string
	InstanceType         string
	UserData             string // base64, as on the wire
	RoleName             string // name of the instance profile, which bears its role's name
	ProfileARN           string // instead of RoleName, when the template names the profile by ARN
	KeyName              string
	SecurityGroupIDs     []string
	HTTPTokens           string
	HTTPEndpoint         string
	HopLimit             int
	InstanceMetadataTags string
	InstanceTags         map[string]string // tag specification of resource type instance
	VolumeTags           map[string]string
	InterfaceTags        map[string]string
	BlockDevices         []BlockDevice
	ShutdownBehavior     string // stop (default) or terminate
}

// Tag is a tag of an AutoScaling group.
type Tag struct {
	Key, Value string
	// Propagate copies the tag to instances that are launched while it is set.
	Propagate bool
}

// GroupSpec describes an AutoScaling group. A group needs LaunchTemplate (name
// or id, with LaunchTemplateVersion a number, $Latest or $Default, the latter
// when empty), or InstanceType for a group as made from a launch configuration.
type GroupSpec struct {
	Name                  string
	Min, Max, Desired     int
	LaunchTemplate        string
	LaunchTemplateVersion string
	InstanceType          string
	Zones                 []string // all zones of the world when empty
	Tags                  []Tag
	ProtectNew            bool // NewInstancesProtectedFromScaleIn
	HealthCheckGrace      time.Duration
	// WarmPool is the group's warm pool; nil: none.
	WarmPool *WarmPool
}

// Member is an instance as its AutoScaling group sees it.
type Member struct {
	InstanceID string
	Zone       string
	Lifecycle  string // such as InService or Terminating:Wait
	Healthy    bool
	Protected  bool
}

// Activity is one scaling activity.
type Activity struct {
	ID, Group, Description, Cause string
	Status                        string // InProgress, Successful, Failed, Cancelled, ...
	Message                       string
	Start, End                    time.Time // End is zero while in progress
	Progress                      int       // percent
	Details                       string    // JSON object with subnet and zone
}

// Group is what the world knows about an AutoScaling group at one moment.
type Group struct {
	GroupSpec
	// Members are all instances of the group, those of its warm pool too; theirs
	// are the lifecycle states that begin with Warmed.
	Members    []Member
	Suspended  []string
	Activities []Activity // newest first
}

// Call is one API or metadata request that reached the world, in the order in
// which they took effect. It holds no secret.
type Call struct {
	Time      time.Time
	Service   string // ssm, kms, sts, ec2, autoscaling, sqs or imds
	Action    string // or the method and path of a metadata request
	Principal string // role of the caller, or the instance id for imds; empty: not identified
	Session   string // session name: the instance id when a node's role called
	Error     string // error code; empty: it succeeded
	Lost      bool   // the answer was withheld by a fault
	// Params are the request's parameters without those that carry secrets.
	Params map[string]string
}
