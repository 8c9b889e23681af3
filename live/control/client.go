package control

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// Client talks to one switch. It is for one goroutine.
type Client struct {
	conn net.Conn
	from *bufio.Reader
}

// askTime is how long a switch has to answer.
const askTime = 10 * time.Second

// Error is what a switch answered to a request that it could not fulfil.
type Error struct{ Msg string }

func (e *Error) Error() string { return e.Msg }

// Dial connects to the switch whose socket is at path.
func Dial(path string) (*Client, error) {
	conn, err := net.DialTimeout("unix", path, askTime)
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) {
			err = op.Err
		}
		return nil, fmt.Errorf("no switch answers at %s: %w", path, err)
	}
	return &Client{conn, bufio.NewReaderSize(conn, maxLine)}, nil
}

// Do asks for something; Version is filled in. The error is an [*Error] if the switch
// refused.
func (c *Client) Do(req Request) (Answer, error) {
	req.Version = Version
	line, err := json.Marshal(req)
	if err != nil {
		return Answer{}, err
	}
	var a Answer
	if err := c.conn.SetDeadline(time.Now().Add(askTime)); err != nil {
		return a, err
	}
	defer c.conn.SetDeadline(time.Time{})
	if _, err := c.conn.Write(append(line, '\n')); err != nil {
		return a, fmt.Errorf("asking the switch: %w", err)
	}
	line, err = c.from.ReadBytes('\n')
	if err == io.EOF {
		return a, errors.New("the switch hung up: it has ended")
	}
	if err != nil {
		return a, fmt.Errorf("the switch does not answer: %w", err)
	}
	if err := json.Unmarshal(line, &a); err != nil || a.Version != Version {
		return a, fmt.Errorf("what answers is no vnreplay of this version (%.60q)", line)
	}
	if a.Error != "" {
		return a, &Error{a.Error}
	}
	return a, nil
}

// Capture asks for a pcapng of what happens from now on. It is read from the reader until
// the run ends; Close ends it before that. The client cannot ask for more.
func (c *Client) Capture() (io.Reader, error) {
	if _, err := c.Do(Request{Do: DoCapture}); err != nil {
		return nil, err
	}
	return c.from, nil
}

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }
