// Package peers holds the tests against real servers and clients: nginx and HAProxy
// behind Windrose and in front of it, and curl, openssl, wrk, hey and h2load as clients.
// They run with
//
//	go test -tags peers ./test/peers/...
//
// and never skip: a program that is not installed fails the test that needs it, and the
// failure names the Debian package.
package peers
