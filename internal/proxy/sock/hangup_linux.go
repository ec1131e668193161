package sock

import (
	"context"
	"fmt"
	"os"
	"sync"
	"syscall"
)

// Hangups detects that the peers of watched connections close or reset them while
// nobody reads. It costs one system call per connection, and nothing per request: the
// kernel keeps watching.
type Hangups struct {
	epoll *os.File
	fd    int

	mu    sync.Mutex
	conns map[uint64]*Conn
	next  uint64
}

// NewHangups returns a watcher. It works while Run runs.
func NewHangups() (*Hangups, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("watch for hang-ups: %w", err)
	}
	if err := syscall.SetNonblock(fd, true); err != nil {
		syscall.Close(fd)
		return nil, fmt.Errorf("watch for hang-ups: %w", err)
	}
	return &Hangups{epoll: os.NewFile(uintptr(fd), "hangups"), fd: fd, conns: map[uint64]*Conn{}}, nil
}

// Run detects hang-ups until ctx ends.
func (h *Hangups) Run(ctx context.Context) error {
	raw, err := h.epoll.SyscallConn()
	if err != nil {
		return fmt.Errorf("watch for hang-ups: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { h.epoll.Close() })
	defer stop()
	events := make([]syscall.EpollEvent, 128)
	for ctx.Err() == nil {
		n := 0
		err := raw.Read(func(fd uintptr) bool {
			n, _ = syscall.EpollWait(int(fd), events, 0)
			return n > 0
		})
		if err != nil {
			break
		}
		for _, event := range events[:n] {
			if c := h.find(uint64(uint32(event.Fd)) | uint64(uint32(event.Pad))<<32); c != nil {
				c.HungUp()
			}
		}
	}
	return ctx.Err()
}

func (h *Hangups) find(id uint64) *Conn {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.conns[id]
}

// add watches c. If c cannot be watched, add does nothing.
func (h *Hangups) add(c *Conn) {
	if c.raw == nil {
		return
	}
	h.mu.Lock()
	h.next++
	id := h.next
	h.conns[id] = c
	h.mu.Unlock()
	c.watch, c.watchID = h, id
	// EPOLLET without EPOLLIN: only the end of the stream is an event.
	event := syscall.EpollEvent{
		Events: syscall.EPOLLRDHUP | 1<<31, // 1<<31 is EPOLLET
		Fd:     int32(uint32(id)), Pad: int32(uint32(id >> 32)),
	}
	var err error
	if ctlErr := c.raw.Control(func(fd uintptr) {
		err = syscall.EpollCtl(h.fd, syscall.EPOLL_CTL_ADD, int(fd), &event)
	}); ctlErr != nil || err != nil {
		h.remove(c)
		c.watch = nil
	}
}

// remove forgets c. The kernel forgets its socket when that is closed.
func (h *Hangups) remove(c *Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.conns, c.watchID)
}
