// Command bench measures Windrose beside nginx and HAProxy.
//
// The proxies serve in turn, alone on CPU 0; the load generator (wrk) and the
// backend (an nginx that answers 512 bytes) run on CPU 1. What counts is CPU
// time per request: user and system time of the proxy, as /proc tells it, over
// the requests of the run. Several interleaved rounds, of which the best is
// kept: noise only ever adds. All figures are ratios within one run, since
// machines differ and so do days.
//
// A program that is not installed is named, and the exit status is 1 unless
// -allow-missing is given. Nothing here asserts a time: a figure beyond its
// budget is marked, and that is all.
//
//	go run ./bench             all of it, in about 15 minutes
//	go run ./bench -quick      the main rows, in less than 2 minutes
//	go run ./bench -only build the sections whose names hold a word
package main
