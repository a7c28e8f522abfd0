// Package machine makes throw-away "EC2 instances": systemd-nspawn containers
// with their own init, network namespace, cgroups and disk, which boot, reboot,
// stop, start, crash and terminate as instances do and see the CPUs and memory
// of their instance type.
//
// A Host owns one run: everything that it makes on the computer bears the run's
// prefix, so two runs never meet and whatever a killed run left behind can be
// found and removed (see Leftovers and Sweep). It needs Linux and root.
package machine
