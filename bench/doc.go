// Command bench measures Windrose beside nginx and HAProxy.
//
// The proxies serve in turn, alone on CPU 0; the load generator (wrk) and the backend (an
// nginx that responds with 512 bytes) run on CPU 1. The measure is CPU time per request:
// the proxy's user and system time in /proc, divided by the requests of the run. There
// are several interleaved rounds, and the best one is kept, because noise can only add
// time. All figures are ratios within one run, since machines differ, and so does one
// machine from day to day.
//
// A program that is not installed is named, and the exit status is 1 unless
// -allow-missing is given. No time is asserted: a figure beyond its budget is marked, and
// nothing fails.
//
//	go run ./bench             all of it, in about 15 minutes
//	go run ./bench -quick      the main rows, in less than 2 minutes
//	go run ./bench -only build the sections whose names hold a word
package main
