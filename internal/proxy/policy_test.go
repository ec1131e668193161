package proxy_test

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"windrose.dev/windrose/internal/proxy"
)

const unavailable = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy"

// TestTimeoutOfTheWholeExchange: 504 before the answer has begun, and a cut
// after.
func TestTimeoutOfTheWholeExchange(t *testing.T) {
	inMemory(t, "timeout=3s", func(m *memory) {
		c := m.client()
		go tell(c, get("/"))
		b := m.backend()
		go all(b)
		got := answerOf(c)
		m.took(3 * time.Second)
		if plain(got) != failed(504, "Gateway Timeout", "upstream_timeout") {
			t.Errorf("%q", got)
		}
		// The connection goes on: the next answer drips and is cut.
		go tell(c, get("/"))
		b = m.backend()
		answerOf(b)
		go func() {
			tell(b, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n")
			for range 99 {
				time.Sleep(time.Second)
				if _, err := io.WriteString(b.nc, "x"); err != nil {
					return
				}
			}
		}()
		got = all(c)
		m.took(3 * time.Second)
		if body := got[strings.Index(got, "\r\n\r\n")+4:]; statusOf(got) != 200 || len(body) < 2 || len(body) > 3 {
			t.Errorf("%q", got)
		}
		time.Sleep(2 * time.Second)
	})
}

func TestTimeoutOfASlowUpload(t *testing.T) {
	inMemory(t, "timeout=3s", func(m *memory) {
		c := m.client()
		go func() {
			tell(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\n")
			for range 99 {
				time.Sleep(time.Second)
				if _, err := io.WriteString(c.nc, "x"); err != nil {
					return
				}
			}
		}()
		b := m.backend()
		go all(b)
		got := answerOf(c)
		m.took(3 * time.Second)
		if statusOf(got) != 504 || !strings.Contains(got, "upstream_timeout") {
			t.Errorf("%q", got)
		}
		c.nc.Close()
		b.nc.Close()
		time.Sleep(2 * time.Second)
	})
}

func TestTimeoutOfAttempts(t *testing.T) {
	inMemory(t, "attempt-timeout=2s", func(m *memory) {
		c := m.client()
		go tell(c, get("/"))
		go all(m.backend())
		if got := answerOf(c); statusOf(got) != 504 {
			t.Errorf("%q", got)
		}
		m.took(2 * time.Second)
		c.nc.Close()
	})
	inMemory(t, "attempt-timeout=2s retry=2 backoff=1s timeout=1m", func(m *memory) {
		c := m.client()
		go tell(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
		for range 2 {
			b := m.backend()
			if got := answerOf(b); !strings.HasSuffix(got, "\r\n\r\nhi") {
				t.Errorf("%q", got)
			}
			go all(b)
		}
		b := m.backend()
		answerOf(b)
		go tell(b, ok2)
		if got := answerOf(c); got != ok2 {
			t.Errorf("%q", got)
		}
		// 2 s and a pause of 1 s to 1.5 s, then 2 s and 2 s to 3 s.
		if took := time.Since(m.start); took < 7*time.Second || took > 8500*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		c.nc.Close()
		b.nc.Close()
	})
	// There is no time for the second attempt's pause.
	inMemory(t, "attempt-timeout=2s retry=9 backoff=2s timeout=5s", func(m *memory) {
		c := m.client()
		go tell(c, get("/"))
		go all(m.backend())
		go func() { go all(m.backend()) }()
		if got := answerOf(c); statusOf(got) != 504 {
			t.Errorf("%q", got)
		}
		if took := time.Since(m.start); took > 5*time.Second {
			t.Errorf("it took %v", took)
		}
		c.nc.Close()
	})
}

// flaky answers the first n requests of all its connections with bad.
func flaky(n int64, bad string) func(*peer) {
	var seen atomic.Int64
	return func(p *peer) {
		for {
			m := p.message()
			switch {
			case m == "":
				return
			case seen.Add(1) > n:
				p.send(text(m))
			case bad == "":
				p.reset()
				return
			default:
				p.send(bad)
			}
		}
	}
}

func TestRetries(t *testing.T) {
	chunked := "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
	for _, tc := range []struct {
		name, options string
		bad           string
		times         int64
		request       string
		status        int
		asked         int // how often the backend is
	}{
		{"a code", "retry=2 retry-codes=500,503 backoff=1ms", unavailable, 2, get("/"), 200, 3},
		{"a code with a body", "retry=2 retry-codes=503 backoff=1ms", unavailable, 2, post("/", "hello"), 200, 3},
		{"a chunked body", "retry=2 retry-codes=503 backoff=1ms", unavailable, 1, chunked, 200, 2},
		{"too often", "retry=2 retry-codes=503 backoff=1ms", unavailable, 9, get("/"), 503, 3},
		{"no attempts", "retry=0 retry-codes=503 backoff=1ms", unavailable, 9, get("/"), 503, 1},
		{"another code", "retry=2 retry-codes=500 backoff=1ms", unavailable, 9, get("/"), 503, 1},
		{"a reset", "retry=2 backoff=1ms", "", 2, get("/"), 200, 3},
		{"a reset that can have had an effect", "retry=2 backoff=1ms", "", 2, post("/", "x"), 502, 1},
		{"a reset of any method", "retry=2 retry-codes=502 backoff=1ms", "", 2, post("/", "x"), 200, 3},
		{"nonsense", "retry=2 retry-codes=502 backoff=1ms", "nonsense\r\n\r\n", 1, get("/"), 200, 2},
		{"no policy", "", unavailable, 9, get("/"), 503, 1},
		{"interim answers were passed on", "retry=2 retry-codes=503 backoff=1ms", "HTTP/1.1 103 Early Hints\r\n\r\n" + unavailable, 1, get("/"), 503, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, b := serve(t, tc.options, flaky(tc.times, tc.bad))
			c := r.dial()
			c.send(tc.request)
			got := c.answer(methodOf(tc.request))
			if i := strings.LastIndex(got, "HTTP/1.1 "+statusText(tc.status)); i < 0 {
				t.Errorf("%q", got)
			}
			if asked := strings.Count(b.bytes(), "\r\nHost: "); asked != tc.asked {
				t.Errorf("the backend was asked %d times, want %d: %q", asked, tc.asked, b.bytes())
			}
			if tc.status == 200 && strings.Contains(tc.request, "hello") && strings.Count(b.bytes(), "hello") != tc.asked {
				t.Errorf("%q", b.bytes())
			}
			c.send(get("/again"))
			if again := c.answer("GET"); again == "" {
				t.Error("the connection did not carry another request")
			}
		})
	}
}

// TestRetriesGoElsewhere: another endpoint gets the request, when there is one.
func TestRetriesGoElsewhere(t *testing.T) {
	good, bad := newBackend(t, always(ok2)), newBackend(t, always(unavailable))
	gone := newBackend(t, always(ok2))
	gone.kill()
	r := newRig(t, nil)
	r.apply(rule("retry=2 retry-codes=503 backoff=1ms", good.addr, bad.addr, gone.addr))
	c := r.dial()
	for i := range 30 {
		c.send(get(fmt.Sprint("/", i)))
		if got := c.answer("GET"); got != ok2 {
			t.Fatalf("%q", got)
		}
	}
	if line := r.log.wait(t, "retries="); !strings.Contains(line, " 200 ") {
		t.Errorf("%q", line)
	}
	r = newRig(t, nil)
	r.apply(rule("retry=2 backoff=1ms", gone.addr))
	if got := r.ask(get("/")); statusOf(got) != 502 {
		t.Errorf("%q", got)
	}
	if line := r.log.wait(t, "connect_failed"); !strings.Contains(line, "retries=2") {
		t.Errorf("%q", line)
	}
}

// TestRetryOfABodyThatComesLate: the backend refuses before the request's end.
func TestRetryOfABodyThatComesLate(t *testing.T) {
	var seen atomic.Int64
	refused := newSignal()
	script := func(p *peer) {
		if seen.Add(1) > 1 {
			echo(p)
			return
		}
		p.head()
		p.send(unavailable)
		refused.fire()
		p.rest()
	}
	for name, closes := range map[string]bool{"the answer": false, "a reset": true} {
		t.Run(name, func(t *testing.T) {
			seen.Store(0)
			refused = newSignal()
			r, b := serve(t, "retry=1 retry-codes=502,503 backoff=1ms", func(p *peer) {
				if closes && seen.Load() == 0 {
					seen.Add(1)
					p.head()
					refused.fire()
					p.reset()
					return
				}
				script(p)
			})
			c := r.dial()
			c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nfir")
			refused.wait(t, "the backend's refusal")
			c.send("st")
			c.send("last")
			if got := c.answer("POST"); statusOf(got) != 200 || !strings.HasSuffix(got, "\r\n\r\nfirstlast") {
				t.Errorf("%q: %q", got, b.bytes())
			}
			c.send(get("/again"))
			if got := c.answer("GET"); statusOf(got) != 200 {
				t.Errorf("%q", got)
			}
		})
	}
}

// TestLargeBodiesAreNotRepeated: what is not kept cannot be sent again, and the
// backend's answer counts.
func TestLargeBodiesAreNotRepeated(t *testing.T) {
	body := strings.Repeat("x", 200<<10)
	for _, request := range []string{
		post("/", body),
		fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(body), body),
	} {
		r, b := serve(t, "retry=3 retry-codes=503 backoff=1ms", always(unavailable))
		if got := r.ask(request); statusOf(got) != 503 || !strings.HasSuffix(got, "busy") {
			t.Errorf("%q", got)
		}
		if n := b.connections(); n != 1 {
			t.Errorf("%d attempts", n)
		}
	}
}

// TestRetryBudget: an overloaded service does not get every request several
// times.
func TestRetryBudget(t *testing.T) {
	const clients = 40
	var requests atomic.Int64
	b := newBackend(t, func(p *peer) {
		for p.message() != "" {
			requests.Add(1)
			p.send(unavailable)
		}
	})
	r := newRig(t, func(cfg *proxy.Config) { cfg.Limits.RetryPercent, cfg.Limits.RetryLeast = 10, 1 })
	r.apply(rule("retry=5 retry-codes=503 backoff=20ms", b.addr))
	var asking sync.WaitGroup
	for range clients {
		asking.Go(func() {
			if got := r.ask(get("/")); statusOf(got) != 503 {
				t.Errorf("%q", got)
			}
		})
	}
	asking.Wait()
	if n := requests.Load(); n < clients || n > 2*clients {
		t.Errorf("%d requests became %d", clients, n)
	}
	if text := string(r.metrics.WriteText()); !strings.Contains(text, `windrose_retries_total{service="s:80",result="denied"}`) {
		t.Error(text)
	}
}

// TestClientLeavesBetweenAttempts: nobody is asked for nobody.
func TestClientLeavesBetweenAttempts(t *testing.T) {
	refused := newSignal()
	r, b := serve(t, "retry=5 retry-codes=503 backoff=10s", func(p *peer) {
		p.message()
		p.send(unavailable)
		refused.fire()
		p.rest()
	})
	c := r.dial()
	c.send(get("/"))
	refused.wait(t, "the first answer")
	c.nc.Close()
	r.log.wait(t, "client_gone")
	if n := b.connections(); n != 1 {
		t.Errorf("%d attempts", n)
	}
}

// mirrored is a Snapshot whose rule has a mirror.
func mirrored(share, original, mirror string) string {
	return rules("rule r prefix:/ forward=s:80 mirror=m:80*"+share, "m:80="+mirror, "s:80="+original)
}

func TestMirror(t *testing.T) {
	b := newBackend(t, always(ok2))
	copies := make(chan string, 100)
	m := newBackend(t, func(p *peer) {
		for {
			got := p.message()
			if got == "" {
				return
			}
			copies <- got
			p.send("HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
		}
	})
	r := newRig(t, nil)
	r.apply(mirrored("1/1", b.addr, m.addr))
	c := r.dial()
	for _, request := range []string{
		get("/a?b"), post("/", "hello"), "HEAD / HTTP/1.1\r\nHost: a.example\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
	} {
		c.send(request)
		if got := c.answer(methodOf(request)); statusOf(got) != 200 {
			t.Errorf("%q", got)
		}
		if got := <-copies; plain(got) != request {
			t.Errorf("copied %q, want %q", got, request)
		}
	}
	// A body that comes in pieces is copied once it is whole.
	c.send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 9\r\n\r\nfirst")
	eventually(t, "the first piece is at the backend", func() bool { return strings.Contains(b.bytes(), "\r\n\r\nfirst") })
	select {
	case got := <-copies:
		t.Errorf("a copy of a part: %q", got)
	default:
	}
	c.send("last")
	c.answer("POST")
	if got := <-copies; !strings.HasSuffix(got, "\r\n\r\nfirstlast") {
		t.Errorf("%q", got)
	}
	eventually(t, "all copies are counted", func() bool {
		return strings.Contains(string(r.metrics.WriteText()), `windrose_mirrors_total{service="m:80",result="answered"} 5`)
	})
	if n := m.connections(); n > 4 {
		t.Errorf("%d connections for 5 copies", n)
	}
}

func TestMirrorShare(t *testing.T) {
	b, m := newBackend(t, always(ok2)), newBackend(t, always(ok2))
	r := newRig(t, nil)
	r.apply(mirrored("1/4", b.addr, m.addr))
	c := r.dial()
	for range 400 {
		c.send(get("/"))
		c.answer("GET")
	}
	eventually(t, "a quarter is copied", func() bool { n := strings.Count(m.bytes(), "GET / "); return n > 50 && n < 150 })
}

// TestBadMirrors: whatever a mirror does, the original is served as ever.
func TestBadMirrors(t *testing.T) {
	large := strings.Repeat("x", 100<<10)
	for name, script := range map[string]func(*peer){
		"silent":  func(p *peer) { p.rest() },
		"resets":  func(p *peer) { p.head(); p.reset() },
		"endless": func(p *peer) { p.head(); p.send("HTTP/1.1 200 OK\r\n\r\n"); spew(p) },
		"drips":   func(p *peer) { p.head(); p.send("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nx"); p.rest() },
		"garbage": always("garbage\r\n\r\n"),
		"dead":    nil,
	} {
		t.Run(name, func(t *testing.T) {
			b, m := newBackend(t, always(ok2)), newBackend(t, script)
			if script == nil {
				m.kill()
			}
			r := newRig(t, func(cfg *proxy.Config) { cfg.Limits.Mirrors = 4 })
			r.apply(mirrored("1/1", b.addr, m.addr))
			c := r.dial()
			start := time.Now()
			for range 50 {
				c.send(get("/"))
				if got := c.answer("GET"); got != ok2 {
					t.Fatalf("%q", got)
				}
			}
			c.send(post("/", large))
			if got := c.answer("POST"); got != ok2 {
				t.Fatalf("%q", got)
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("it took %v", took)
			}
			if n := m.connections(); n > 51 {
				t.Errorf("%d connections", n)
			}
			eventually(t, "the large one is dropped", func() bool {
				return strings.Contains(string(r.metrics.WriteText()), `windrose_mirrors_total{service="m:80",result="dropped"}`)
			})
			if cut := r.stop(); cut > 1 {
				t.Errorf("%d connections were cut", cut)
			}
		})
	}
}

// spew writes without end.
func spew(p *peer) {
	block := make([]byte, 64<<10)
	for {
		p.nc.SetWriteDeadline(time.Now().Add(patience))
		if _, err := p.nc.Write(block); err != nil {
			return
		}
	}
}

// named answers with the connection's own address.
func named(p *peer) { always(text(p.nc.LocalAddr().String()))(p) }

func TestSessions(t *testing.T) {
	var addrs []string
	backends := map[string]*backend{}
	for range 3 {
		b := newBackend(t, named)
		addrs = append(addrs, b.addr)
		backends[b.addr] = b
	}
	for name, tc := range map[string]struct{ options, field, path string }{
		"cookie":    {"affinity=cookie:sid affinity-path=/shop", "Set-Cookie", "; Path=/shop; HttpOnly; SameSite=Strict"},
		"permanent": {"affinity=cookie:sid affinity-absolute=1h affinity-permanent", "Set-Cookie", "; Max-Age=3600; HttpOnly; SameSite=Strict"},
		"header":    {"affinity=header:X-Session", "X-Session", ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			r.apply(rule(tc.options, addrs...))
			c := r.dial()
			ask := func(token string) string {
				fields := ""
				if token != "" && tc.field == "X-Session" {
					fields = "x-session: " + token + "\r\n"
				} else if token != "" {
					fields = "Cookie: a=b; sid=" + token + "; sid2=x\r\n"
				}
				c.send("GET / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n")
				return c.answer("GET")
			}
			where := func(answer string) string { return answer[strings.Index(answer, "\r\n\r\n")+4:] }
			token := func(answer string) string {
				value := strings.TrimPrefix(fieldOf(answer, tc.field), "sid=")
				value, _, _ = strings.Cut(value, ";")
				if value == "" || !strings.HasSuffix(fieldOf(answer, tc.field), tc.path) {
					t.Fatalf("%q", answer)
				}
				return value
			}
			seen := map[string]string{} // endpoint to token
			for range 9 {
				answer := ask("")
				seen[where(answer)] = token(answer)
			}
			if len(seen) != 3 {
				t.Fatalf("sessions at %v", seen)
			}
			for range 5 {
				for addr, at := range seen {
					answer := ask(at)
					if where(answer) != addr || fieldOf(answer, tc.field) != "" {
						t.Errorf("the session at %s got %q", addr, answer)
					}
				}
			}
			for addr, at := range seen {
				forged := "A" + at[1:]
				if at[0] == 'A' {
					forged = "B" + at[1:]
				}
				if answer := ask(forged); fieldOf(answer, tc.field) == "" {
					t.Errorf("a forged token of %s was taken: %q", addr, answer)
				}
			}
		})
	}
	// An endpoint that is gone, and one that does not answer.
	r := newRig(t, nil)
	r.apply(rule("affinity=header:X-Session", addrs...))
	ask := func(token string) (where, next string) {
		got := r.ask("GET / HTTP/1.1\r\nHost: a\r\nX-Session: " + token + "\r\n\r\n")
		return got[strings.Index(got, "\r\n\r\n")+4:], fieldOf(got, "X-Session")
	}
	first, token := ask("")
	backends[first].kill()
	second, next := ask(token)
	if second == first || next == "" {
		t.Fatalf("the session at %s, which is gone, went to %s with %s", first, second, next)
	}
	if third, _ := ask(next); third != second {
		t.Errorf("the new session moved from %s to %s", second, third)
	}
	var left []string
	for _, addr := range addrs {
		if addr != second && addr != first {
			left = append(left, addr)
		}
	}
	r.apply(rule("affinity=header:X-Session", left...))
	if third, next := ask(next); third != left[0] || next == "" {
		t.Errorf("%s %s", third, next)
	}
}

// TestSessionOutweighs: a session stays where it is whatever the weights.
func TestSessionOutweighs(t *testing.T) {
	a, b := newBackend(t, named), newBackend(t, named)
	r := newRig(t, nil)
	snapshot := func(weightA, weightB int) string {
		return rules(fmt.Sprintf("rule r prefix:/ forward affinity=header:X-S\nbackend a:80 %d\nbackend b:80 %d", weightA, weightB), "a:80="+a.addr, "b:80="+b.addr)
	}
	r.apply(snapshot(1, 0))
	token := fieldOf(r.ask(get("/")), "X-S")
	r.apply(snapshot(0, 1))
	if got := r.ask("GET / HTTP/1.1\r\nHost: a\r\nX-S: " + token + "\r\n\r\n"); !strings.HasSuffix(got, a.addr) {
		t.Errorf("%q", got)
	}
	if got := r.ask(get("/")); !strings.HasSuffix(got, b.addr) {
		t.Errorf("%q", got)
	}
}

func TestSessionTimes(t *testing.T) {
	for _, tc := range []struct {
		options string
		pauses  []time.Duration
		same    bool // a new session is not begun
	}{
		{"affinity-absolute=10s", []time.Duration{6 * time.Second, 3 * time.Second}, true},
		{"affinity-absolute=10s", []time.Duration{6 * time.Second, 5 * time.Second}, false},
		{"affinity-idle=10s", []time.Duration{6 * time.Second, 6 * time.Second, 6 * time.Second}, true},
		{"affinity-idle=10s", []time.Duration{11 * time.Second}, false},
		{"affinity-idle=10s affinity-absolute=15s", []time.Duration{6 * time.Second, 6 * time.Second, 6 * time.Second}, false},
	} {
		inMemory(t, "affinity=header:X-S "+tc.options, func(m *memory) {
			serving := func(nc net.Conn) {
				p := &peer{t: t, nc: nc}
				b := make([]byte, 4096)
				for {
					n, err := nc.Read(b)
					if err != nil {
						return
					}
					if strings.HasSuffix(string(b[:n]), "\r\n\r\n") {
						tell(p, ok2)
					}
				}
			}
			done := make(chan struct{})
			go func() {
				for {
					select {
					case nc := <-m.dialed:
						go serving(nc)
					case <-done:
						return
					}
				}
			}()
			token, began := "", ""
			for i := range len(tc.pauses) + 1 {
				c := m.client()
				go tell(c, "GET / HTTP/1.1\r\nHost: a\r\nX-S: "+token+"\r\n\r\n")
				got := answerOf(c)
				c.nc.Close()
				if fresh := fieldOf(got, "X-S"); fresh != "" {
					token = fresh
				}
				// A token begins with the time at which its session began.
				if i == 0 {
					began = token[:5]
				} else if i == len(tc.pauses) {
					if same := token[:5] == began; same != tc.same {
						t.Errorf("%s after %v: the same session: %v", tc.options, tc.pauses, same)
					}
				}
				if i < len(tc.pauses) {
					time.Sleep(tc.pauses[i])
				}
			}
			close(done)
		})
	}
}
