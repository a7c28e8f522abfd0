// Command provider stands in for the AWS provider when the Terraform module is checked:
// OpenTofu runs it as it runs the real one. It declares what the real one declares
// (package schema), makes nothing, and answers with values that follow from the
// configuration, so that renderings can be compared.
package main

import (
	"fmt"
	"os"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6/tf6server"

	"github.com/joinery/joinery/deploy/terraform/check/schema"
)

func main() {
	declared, err := schema.Current()
	if err == nil {
		err = tf6server.Serve("hashicorp/aws", func() tfprotov6.ProviderServer { return &server{declared: declared} })
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "provider:", err)
		os.Exit(1)
	}
}
