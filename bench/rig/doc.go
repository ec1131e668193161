// Package rig starts the programs that the benchmark and the peer tests compare: nginx,
// HAProxy and Windrose, with configurations that give each of them the same work. It
// reads from the system the resources that they used.
//
// Everything listens on 127.0.0.1, at free ports. All files are in one temporary
// directory. [Rig.Close] removes it and ends each program by its process group. If a
// program is not installed, the error names its Debian package: nothing is skipped.
//
// The callers are bench and test/peers.
package rig
