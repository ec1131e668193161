package sock

import (
	"io"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// splicer moves bytes from socket to socket through a pipe (splice(2)), so that they
// are never copied to this process. net.TCPConn.ReadFrom does so too, but it holds a
// pipe while it waits, and does not report progress: an idle L4 connection would cost
// four descriptors, and its idle time could not be known.
type splicer struct {
	able     bool
	pipe     *pipe // holds what was taken; nil between two Takes
	held     int
	n        int
	err      error
	takeStep func(fd uintptr) bool
	giveStep func(fd uintptr) bool
}

func (s *splicer) init(able bool) {
	s.able = able
	if able {
		s.takeStep, s.giveStep = s.fromSocket, s.toSocket
	}
}

func (s *splicer) usable() bool { return s.able }
func (s *splicer) holds() bool  { return s.held > 0 }

// take waits for bytes and moves them into a pipe.
func (s *splicer) take(from syscall.RawConn) (int, error) {
	s.n, s.err = 0, nil
	if err := from.Read(s.takeStep); err != nil {
		return 0, err
	}
	s.held = s.n
	return s.n, s.err
}

// fromSocket tries once. It returns false if nothing was received yet. A pipe that was
// taken for the attempt is released before the wait.
func (s *splicer) fromSocket(fd uintptr) bool {
	if s.pipe = takePipe(); s.pipe == nil {
		s.able, s.err = false, errNoSplice // out of descriptors: use a buffer
		return true
	}
	n, err := splice(int(fd), s.pipe.w, pipeSize)
	if n > 0 {
		s.n = n
		return true
	}
	s.pipe.release()
	s.pipe = nil
	switch err {
	case unix.EAGAIN:
		return false
	case unix.EINVAL, unix.ENOSYS:
		s.able, s.err = false, errNoSplice
	case nil:
		s.err = io.EOF
	default:
		s.err = err
	}
	return true
}

// give writes what the pipe holds.
func (s *splicer) give(to syscall.RawConn) error {
	s.err = nil
	err := to.Write(s.giveStep)
	if err == nil {
		err = s.err
	}
	if err != nil {
		s.drop()
		return err
	}
	s.pipe.release()
	s.pipe = nil
	return nil
}

func (s *splicer) toSocket(fd uintptr) bool {
	for s.held > 0 {
		n, err := splice(s.pipe.r, int(fd), s.held)
		if err == unix.EAGAIN {
			return false
		}
		if err == nil && n == 0 {
			err = io.ErrUnexpectedEOF // impossible: the pipe has less than was put in
		}
		if err != nil {
			s.err = err
			return true
		}
		s.held -= n
	}
	return true
}

// drop closes a pipe that still holds bytes.
func (s *splicer) drop() {
	if s.pipe != nil {
		s.pipe.close()
		s.pipe, s.held = nil, 0
	}
}

func splice(from, to, most int) (int, error) {
	for {
		n, err := unix.Splice(from, nil, to, nil, most, unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
		if err != unix.EINTR {
			return max(int(n), 0), err
		}
	}
}

// pipe is a pair of descriptors; a pipe in the pool is empty.
type pipe struct{ r, w int }

// pipeSize is the capacity that pipes are set to, if the kernel permits it, in bytes.
const pipeSize = 256 << 10

// pipes is the pool of empty pipes. The garbage collector closes unused ones.
var pipes = sync.Pool{}

// takePipe returns nil if the kernel provides no pipe.
func takePipe() *pipe {
	if p, ok := pipes.Get().(*pipe); ok {
		return p
	}
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		return nil
	}
	unix.FcntlInt(uintptr(fds[1]), unix.F_SETPIPE_SZ, pipeSize) // less works too
	p := &pipe{fds[0], fds[1]}
	runtime.SetFinalizer(p, (*pipe).close)
	return p
}

func (p *pipe) release() { pipes.Put(p) }

func (p *pipe) close() {
	runtime.SetFinalizer(p, nil)
	unix.Close(p.r)
	unix.Close(p.w)
}
