package sock

import (
	"context"
	"errors"
	"os"
	"testing"
)

func TestHangupInterruptsThePartner(t *testing.T) {
	hangups, err := NewHangups()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { hangups.Run(ctx); close(done) }()
	client, near := pair(t)
	_, upstream := pair(t)
	c := NewConn(near, NewClock(), &Pool{}, hangups)
	u := NewConn(upstream, NewClock(), &Pool{}, nil)
	if c.watch == nil {
		t.Fatal("not watched")
	}
	if !c.AbortOnHangup(u.Partner()) || !c.KeepOnHangup(u.Partner()) {
		t.Fatal("nobody hung up yet")
	}
	c.AbortOnHangup(u.Partner())
	client.Write([]byte("bytes alone are no hang-up"))
	client.CloseWrite()
	if _, err := u.Fill(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("the partner got %v", err)
	}
	if !c.Gone() || c.KeepOnHangup(u.Partner()) {
		t.Error("the hang-up was not recorded")
	}
	if _, err := c.Fill(); err != nil || c.In.Len() == 0 {
		t.Errorf("what was sent before is lost: %v", err)
	}
	c.Close()
	if len(hangups.conns) != 0 {
		t.Error("a closed connection is still watched")
	}
	cancel()
	<-done
}
