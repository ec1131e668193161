package rig

import (
	"bytes"
	"fmt"
	"net"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// RawHTTP2 is an HTTP/2 client that writes frames itself. Between requests it keeps only
// its connection.
type RawHTTP2 struct {
	framer *http2.Framer
}

// NewRawHTTP2 returns a client on a connection, which the caller must close.
func NewRawHTTP2(conn net.Conn) *RawHTTP2 {
	c := &RawHTTP2{framer: http2.NewFramer(conn, conn)}
	conn.Write([]byte(http2.ClientPreface)) // an error shows when the response is read
	c.framer.WriteSettings()
	return c
}

// Ask sends the head of a GET on each of streams, and reads nothing.
func (c *RawHTTP2) Ask(host string, streams ...uint32) error {
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for _, f := range [...][2]string{{":method", "GET"}, {":scheme", "http"}, {":authority", host}, {":path", "/"}} {
		enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	for _, id := range streams { // the block stays valid: it only adds to the table
		err := c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true})
		if err != nil {
			return err
		}
	}
	return nil
}

// Get sends a request on a stream and reads the response to its end.
func (c *RawHTTP2) Get(host string, stream uint32) error {
	if err := c.Ask(host, stream); err != nil {
		return err
	}
	for {
		f, err := c.framer.ReadFrame()
		if err != nil {
			return err
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				c.framer.WriteSettingsAck()
			}
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			return fmt.Errorf("no answer: %v", f)
		case *http2.HeadersFrame:
			if f.StreamEnded() {
				return nil
			}
		case *http2.DataFrame:
			if f.StreamEnded() {
				return nil
			}
		}
	}
}
