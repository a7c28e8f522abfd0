// Package storm holds the test of a storm of signing requests on a real API server,
// while real machines boot and join.
package storm
