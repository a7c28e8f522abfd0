// Package lifecycle holds no code: its tests take real machines through all that
// an Auto Scaling group does with an instance, from its launch through hooks and
// warm pools to its end, and let one join by old user data.
package lifecycle
