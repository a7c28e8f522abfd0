//go:build !race

package loop_test

// liarWorlds is how many worlds TestLiarWorlds lives through.
const liarWorlds = 200
