package control

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/vnreplay/vnreplay/live"
)

// MaxClients is how many clients a switch talks to at a time.
const MaxClients = 64

// answerTime is how long a client has to take an answer.
const answerTime = 5 * time.Second

// Switch is what a server lets its clients do. A [*live.Switch] is one.
type Switch interface {
	Status() live.Status
	AddFault(text string) (live.RuleStatus, error)
	SetFault(which string, on bool) (live.RuleStatus, error)
	RemoveFault(which string) (live.RuleStatus, error)
	SetCable(port string, up bool) error
	Rotate() error
	Stop()
	// Capture writes a pcapng of what happens from now on, until the run ends, done is
	// closed, or w fails.
	Capture(w io.Writer, done <-chan struct{}) error
}

// Server answers on the socket of a switch.
type Server struct {
	listener net.Listener
	path     string

	mu      sync.Mutex
	conns   map[net.Conn]struct{}
	closed  bool
	serving sync.WaitGroup
}

// Serve answers clients about sw until Close.
func (s *Server) Serve(sw Switch) {
	s.serving.Go(func() {
		for {
			conn, err := s.listener.Accept()
			switch {
			case err == nil:
				s.take(conn, sw)
			case errors.Is(err, net.ErrClosed):
				return
			default: // no descriptor left, say: others may go
				time.Sleep(100 * time.Millisecond)
			}
		}
	})
}

// take begins to talk to a client.
func (s *Server) take(conn net.Conn, sw Switch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		conn.Close()
		return
	case len(s.conns) >= MaxClients:
		answer(conn, Answer{Error: fmt.Sprintf("there are %d clients already", MaxClients)})
		conn.Close()
		return
	}
	s.conns[conn] = struct{}{}
	s.serving.Go(func() {
		defer func() {
			conn.Close()
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.conns, conn)
		}()
		talk(conn, sw)
	})
}

// Path is where the socket is.
func (s *Server) Path() string { return s.path }

// Close removes the socket and ends the conversations with clients: a stream ends with
// what was written to it.
func (s *Server) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	os.Remove(s.path)
	err := s.listener.Close()
	for conn := range s.conns {
		conn.Close()
	}
	s.mu.Unlock()
	s.serving.Wait()
	return err
}

// talk answers one client until it goes.
func talk(conn net.Conn, sw Switch) {
	lines := bufio.NewReaderSize(conn, maxLine)
	for {
		line, err := lines.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			answer(conn, Answer{Error: fmt.Sprintf("a request of more than %d bytes", maxLine)})
			return
		case err != nil: // what has no end is no request
			return
		}
		req, err := readRequest(line)
		if err != nil {
			err = answer(conn, Answer{Error: err.Error()})
		} else if req.Do == DoCapture {
			stream(conn, lines, sw)
			return
		} else {
			err = answer(conn, do(sw, req))
		}
		if err != nil {
			return
		}
	}
}

// do does what a request asks for.
func do(sw Switch, req Request) (a Answer) {
	rule := func(st live.RuleStatus, err error) error {
		a.Rule = &st
		return err
	}
	var err error
	switch req.Do {
	case DoStatus:
		st := sw.Status()
		a.Status, a.PID = &st, os.Getpid()
	case DoFaultAdd:
		err = rule(sw.AddFault(req.Rule))
	case DoFaultOn, DoFaultOff:
		err = rule(sw.SetFault(req.Rule, req.Do == DoFaultOn))
	case DoFaultRemove:
		err = rule(sw.RemoveFault(req.Rule))
	case DoCable:
		err = sw.SetCable(req.Port, *req.Up)
	case DoRotate:
		err = sw.Rotate()
	case DoStop:
		sw.Stop()
	}
	if err != nil {
		return Answer{Error: err.Error()}
	}
	return a
}

// answer writes one line.
func answer(conn net.Conn, a Answer) error {
	a.Version = Version
	line, err := json.Marshal(a)
	if err != nil {
		return err
	}
	if err := conn.SetWriteDeadline(time.Now().Add(answerTime)); err != nil {
		return err
	}
	_, err = conn.Write(append(line, '\n'))
	return err
}

// stream writes the frames to a client until it goes.
func stream(conn net.Conn, from io.Reader, sw Switch) {
	if answer(conn, Answer{}) != nil || conn.SetWriteDeadline(time.Time{}) != nil {
		return
	}
	gone := make(chan struct{})
	var reading sync.WaitGroup
	reading.Go(func() {
		io.Copy(io.Discard, from) // until it hangs up
		close(gone)
	})
	// How it ended the client sees by what came.
	_ = sw.Capture(conn, gone)
	conn.Close()
	reading.Wait()
}
