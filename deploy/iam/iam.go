// Package iam holds the AWS policies of the two roles: that of nodes, which may
// read one parameter, and that of masters, under which joinery-controller runs.
package iam

import (
	_ "embed" // for the policies
	"fmt"
	"regexp"
	"strings"
)

//go:embed node.json
var node string

//go:embed controller.json
var controller string

//go:embed optional-legacy.json
var legacy string

//go:embed optional-queue.json
var queue string

// Values stand for the placeholders ${…} of a policy.
type Values struct {
	// Partition is aws, aws-cn or aws-us-gov.
	Partition string
	// Region, Account and Cluster that the role is for.
	Region, Account, Cluster string
	// KMSKeyARN is the key that encrypts the join bundle.
	KMSKeyARN string
}

// Node returns the policy of the nodes' role.
func Node(v Values) (string, error) { return render(node, v) }

// Controller returns the policy of the masters' role, as far as
// joinery-controller needs it.
func Controller(v Values) (string, error) { return render(controller, v) }

// Legacy returns what the masters' role needs besides while
// spec.bundle.legacyTokenParameter names that parameter.
func Legacy(v Values, parameter string) (string, error) {
	return render(legacy, v, "${PARAMETER}", strings.TrimPrefix(parameter, "/"))
}

// Queue returns what the masters' role needs besides while
// spec.lifecycle.queueURL names the queue of that name.
func Queue(v Values, name string) (string, error) {
	return render(queue, v, "${QUEUE}", name)
}

var unsafeValue = regexp.MustCompile(`[^A-Za-z0-9:/._-]`)

// render refuses values that could change the meaning of the policy, such as
// quotes and wildcards.
func render(policy string, v Values, more ...string) (string, error) {
	pairs := append([]string{
		"${PARTITION}", v.Partition, "${REGION}", v.Region, "${ACCOUNT}", v.Account,
		"${CLUSTER}", v.Cluster, "${KMS_KEY_ARN}", v.KMSKeyARN,
	}, more...)
	for i := 0; i < len(pairs); i += 2 {
		if bad := unsafeValue.FindString(pairs[i+1]); bad != "" || pairs[i+1] == "" {
			return "", fmt.Errorf("render policy: %s: %q: expected letters, digits, ':', '/', '.', '_' or '-'", pairs[i], pairs[i+1])
		}
	}
	return strings.NewReplacer(pairs...).Replace(policy), nil
}
