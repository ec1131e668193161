package httpx

import (
	"bytes"
	"time"

	"windrose.dev/windrose/internal/proxy/upstream"
)

// copies are the mirrors of one exchange that are to get a copy of the request. They
// are chosen before the pump begins; send and drop are its to call from then on.
type copies struct {
	server   *Server
	conn     *Connection
	clusters []*upstream.Cluster
	request  outgoing // detached
	connect  time.Duration
}

// choose draws the mirrors. A request that is whole already goes at once; the pump
// sends the others. A request to switch protocols is not copied: there is nobody to
// speak the other one.
func (c *copies) choose(r *request) {
	if !r.x.Mirrored() || r.upgrade != nil {
		return
	}
	r.x.EachMirror(func(cluster *upstream.Cluster) { c.clusters = append(c.clusters, cluster) })
	c.connect = r.x.Route.Connect
	if r.first.last && c.waiting() {
		c.detach(r)
		c.send(r.first.data, r.trailer())
	}
}

// waiting reports whether there are mirrors to be sent a copy.
func (c *copies) waiting() bool { return len(c.clusters) > 0 }

// detach keeps the request's head as it is now.
func (c *copies) detach(r *request) {
	if c.waiting() {
		o := r.outgoing()
		c.request = o.detached()
	}
}

// send sends the request, with all of its body, to the mirrors.
func (c *copies) send(body, trailer []byte) {
	if !c.waiting() {
		return
	}
	if c.request.head.Size()+len(body) > c.server.Engine.Limits.MirrorBytes {
		c.drop()
		return
	}
	c.request.part = part{data: bytes.Clone(body), last: true, trailer: bytes.Clone(trailer)}
	for _, cluster := range c.clusters {
		c.request.secure = cluster.Secure
		c.server.mirror(c.conn.Shard, &Question{
			Cluster: cluster, Client: c.conn.Client, Connect: c.connect, Time: mirrorTime, MaxBody: mirrorAnswer, request: c.request,
		})
	}
}

// drop counts the copies that are not sent.
func (c *copies) drop() {
	for _, cluster := range c.clusters {
		cluster.Stats.MirrorsDropped.Add(1)
	}
}

// forget has nothing more be sent.
func (c *copies) forget() {
	clear(c.clusters)
	c.clusters = c.clusters[:0]
}

// reset makes c ready for another exchange.
func (c *copies) reset() {
	c.forget()
	*c = copies{clusters: c.clusters}
}
