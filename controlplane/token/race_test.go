//go:build race

package token_test

// months is how many the race detector has the time for; make test lives through
// the others without it.
const months = 6
