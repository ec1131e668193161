// Package cli is the command line of windrose: one file a command. Commands
// read flags, wire components together and print; what they print is made
// elsewhere.
package cli
