// Package guide holds no code: its test follows the operator's guide on clean machines of
// the lab, with our packages, against the simulated AWS, by the real aws CLI.
package guide
