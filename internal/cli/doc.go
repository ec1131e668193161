// Package cli is the command line of windrose, one file for each command. Commands read
// flags, wire components together and print results; the results are computed elsewhere.
package cli
