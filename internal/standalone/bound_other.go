//go:build !linux

package standalone

// isBound cannot be told on this system: a UDP port counts as open.
func isBound(int32) bool { return true }
