package standalone

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// The ports for programs, which bind them themselves. They are below the ports that Linux
// and macOS give to outgoing connections, so that none is taken between our choice and
// the start of the program.
const (
	firstProgramPort = 20000
	programPorts     = 12000
)

var errNoPort = errors.New("standalone: no free port at " + loopback)

// portPool hands out ports that are free and not handed out yet. Its methods may be
// called concurrently.
type portPool struct {
	mu    sync.Mutex
	taken map[int32]bool
	// next starts at random, so that two runs on one machine rarely collide.
	next int32
}

func newPortPool() *portPool {
	return &portPool{taken: map[int32]bool{}, next: rand.Int32N(programPorts)}
}

// take returns a port for each container port.
func (p *portPool) take(containerPorts []int32) (map[int32]int32, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make(map[int32]int32, len(containerPorts))
	for _, port := range containerPorts {
		number, err := p.takeOne()
		if err != nil {
			p.release(out)
			return nil, fmt.Errorf("find a port for container port %d: %w", port, err)
		}
		out[port] = number
	}
	return out, nil
}

// give takes back the ports of a program that has ended.
func (p *portPool) give(ports map[int32]int32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.release(ports)
}

func (p *portPool) release(ports map[int32]int32) {
	for _, number := range ports {
		delete(p.taken, number)
	}
}

func (p *portPool) takeOne() (int32, error) {
	for range programPorts {
		number := firstProgramPort + p.next
		p.next = (p.next + 1) % programPorts
		if !p.taken[number] && isFree(number) {
			p.taken[number] = true
			return number, nil
		}
	}
	return 0, errNoPort
}

// freeNumber returns a port that neither TCP nor UDP uses, or 0. It is below the ports of
// outgoing connections, so that it stays free for the other protocol.
func freeNumber() int32 {
	for range 1000 {
		if number := firstProgramPort + rand.Int32N(programPorts); isFree(number) {
			return number
		}
	}
	return 0
}

func isFree(port int32) bool {
	l, err := net.Listen("tcp", address(port))
	if err != nil {
		return false
	}
	l.Close()
	u, err := net.ListenPacket("udp", address(port))
	if err != nil {
		return false
	}
	u.Close()
	return true
}

// only returns the wanted ports of a map.
func only(ports map[int32]int32, wanted []int32) map[int32]int32 {
	out := make(map[int32]int32, len(wanted))
	for _, port := range wanted {
		if number, open := ports[port]; open {
			out[port] = number
		}
	}
	return out
}

func address(port int32) string { return net.JoinHostPort(loopback, strconv.Itoa(int(port))) }
