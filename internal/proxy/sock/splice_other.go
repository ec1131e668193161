//go:build !linux

package sock

import "syscall"

// splicer does nothing on this system: bytes pass through a buffer.
type splicer struct{}

func (splicer) init(bool)                         {}
func (splicer) usable() bool                      { return false }
func (splicer) holds() bool                       { return false }
func (splicer) take(syscall.RawConn) (int, error) { return 0, errNoSplice }
func (splicer) give(syscall.RawConn) error        { return nil }
func (splicer) drop()                             {}
