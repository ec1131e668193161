package exchange

import (
	"errors"
	"time"

	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/upstream"
	"windrose.dev/windrose/internal/reason"
)

// Call is a request of a filter's own to a service.
type Call struct {
	Cluster *upstream.Cluster
	// Head has the method and the fields. Head, Target and Body must stay as they are
	// until the answer has come.
	Head         *msg.Head
	Target, Body []byte
	// Connect bounds the making of a connection, and Time all that follows.
	Connect, Time time.Duration
	// MaxBody bounds the answer's body, in bytes.
	MaxBody int64
}

// Reply is the answer to a Call.
type Reply struct {
	Head *msg.Head
	Body []byte
}

// Asker carries Calls: the driver of an exchange does.
type Asker interface{ Ask(*Call) (*Reply, error) }

// Errors of Ask, beside those of upstream and *msg.Error.
var (
	// ErrStopped: the proxy ends, and nobody waits for answers.
	ErrStopped = errors.New("the proxy has stopped")
	// ErrTooLarge: the answer is larger than was asked for.
	ErrTooLarge = errors.New("the answer is larger than its bound")
	// ErrNoAnswer: the connection broke off, or took too long.
	ErrNoAnswer = errors.New("no whole answer came")
	// ErrClientGone: the client went away meanwhile.
	ErrClientGone = errors.New("the client went away")
	// ErrNotAsked: nobody asks services for this exchange, such as for an explanation.
	ErrNotAsked = errors.New("services are asked for real requests alone")
)

// Ask has a service asked, and waits. Only this exchange waits: other streams of the
// connection, and other connections, go on. It ends when the client goes away.
func (x *Exchange) Ask(c *Call) (*Reply, error) {
	if x.Asker == nil {
		return nil, ErrNotAsked
	}
	return x.Asker.Ask(c)
}

// FailAsking ends the exchange because a service could not be asked. What it would have
// allowed stays closed.
func (x *ending) FailAsking(c *Call, err error) {
	if errors.Is(err, ErrClientGone) {
		x.Fail(reason.ClientGone, "")
		return
	}
	x.Fail(reason.Closed, "service "+c.Cluster.Service.Name+" could not be asked: "+err.Error())
}
