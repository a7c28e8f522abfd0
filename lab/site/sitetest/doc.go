// Package sitetest gives all tests of a package one installation: making one takes
// a quarter of a minute and most tests leave it as they found it.
package sitetest
