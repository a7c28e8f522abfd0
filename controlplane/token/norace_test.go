//go:build !race

package token_test

// months is how many TestRotationDays lives through.
const months = 50
