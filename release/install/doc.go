// Package install holds no code: its test installs, upgrades, removes and purges the
// packages on a clean Debian machine of the lab.
package install
