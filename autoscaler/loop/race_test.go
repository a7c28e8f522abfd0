//go:build race

package loop_test

// liarWorlds is how many worlds the race detector has the time for; make test lives
// through the others without it.
const liarWorlds = 30
