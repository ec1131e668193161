// Package rig starts the programs that the benchmark and the peer tests
// compare: nginx, HAProxy and Windrose, with configurations that give each of
// them the same work, and reads from the system what they used.
//
// Everything listens on 127.0.0.1, at ports that were free a moment ago.
// Everything lives below one temporary directory and ends with [Rig.Close],
// each program by its own process group. A program that is not installed is an
// error that names its Debian package: nothing is skipped.
//
// The callers are bench and test/peers.
package rig
