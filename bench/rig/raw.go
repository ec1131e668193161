package rig

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// Raw is an HTTP/1.1 client with one keep-alive connection. It never retries, so a
// missing response means a lost request.
type Raw struct {
	Conn net.Conn
	// Host is the value of the Host field.
	Host string

	in *bufio.Reader
}

// Answer is one complete response.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
	// Close says that the server will close the connection.
	Close bool
}

// DialRaw opens a connection and returns a Raw on it.
func DialRaw(address, host string) (*Raw, error) {
	conn, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		return nil, err
	}
	return NewRaw(conn, host), nil
}

// NewRaw returns a Raw on an open connection.
func NewRaw(conn net.Conn, host string) *Raw {
	return &Raw{Conn: conn, Host: host, in: bufio.NewReader(conn)}
}

// rawPatience bounds one exchange.
const rawPatience = 20 * time.Second

// Get sends a GET for a target.
func (r *Raw) Get(target string) (Answer, error) { return r.Do("GET", target, "", "") }

// Post sends a POST with a body.
func (r *Raw) Post(target, body string) (Answer, error) {
	return r.Do("POST", target, fmt.Sprintf("Content-Length: %d\r\n", len(body)), body)
}

// Do sends a request and reads the response. header has lines of header fields that end
// in CRLF.
func (r *Raw) Do(method, target, header, body string) (Answer, error) {
	head := method + " " + target + " HTTP/1.1\r\nHost: " + r.Host + "\r\n" + header + "\r\n"
	return r.Send(method, head+body)
}

// Send sends a request as it is and reads the response.
func (r *Raw) Send(method, request string) (Answer, error) {
	if err := r.Conn.SetDeadline(time.Now().Add(rawPatience)); err != nil {
		return Answer{}, err
	}
	if _, err := io.WriteString(r.Conn, request); err != nil {
		return Answer{}, err
	}
	return r.Read(method)
}

// Read reads the response to a request that was sent with the given method.
func (r *Raw) Read(method string) (Answer, error) {
	response, err := http.ReadResponse(r.in, &http.Request{Method: method})
	if err != nil {
		return Answer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	// ReadResponse removes the field and sets Close.
	closes := response.Close || strings.EqualFold(response.Header.Get("Connection"), "close")
	return Answer{Status: response.StatusCode, Header: response.Header, Body: body, Close: closes}, err
}

// In returns the reader of the connection, with what was received and not yet read.
func (r *Raw) In() *bufio.Reader { return r.in }

// Close closes the connection.
func (r *Raw) Close() error { return r.Conn.Close() }
