package apps

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"strings"

	"github.com/vnreplay/vnreplay/vnetif"
)

// HTTPAnswers configures a server of files whose answers begin with given bytes,
// so that they can be the very bytes that another server once sent: net/http
// parses the requests, and nothing else is added.
type HTTPAnswers struct {
	Port int
	// Answers are the answers by the path of the URL.
	Answers map[string]HTTPAnswer
}

// HTTPAnswer is one answer.
type HTTPAnswer struct {
	Head []byte // status line and header with the empty line, as sent
	Body []byte
	// Close ends the connection after the answer.
	Close bool
}

// notFound answers for a path that has no answer.
var notFound = HTTPAnswer{
	Head:  []byte("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
	Close: true,
}

// New makes the application. An operation of its Result is a request answered.
func (cfg HTTPAnswers) New() App { return &httpAnswers{cfg: cfg} }

type httpAnswers struct {
	cfg HTTPAnswers
	tally
}

func (s *httpAnswers) Server() bool { return true }

func (s *httpAnswers) Run(_ context.Context, h *vnetif.Host) error {
	return serve(h, s.cfg.Port, func(c net.Conn) {
		in := bufio.NewReader(c)
		for {
			req, err := http.ReadRequest(in)
			if err != nil {
				return // the client has closed, or speaks something else
			}
			answer, ok := s.cfg.Answers[req.URL.Path]
			if !ok {
				answer = notFound
			}
			out := bufio.NewWriterSize(c, 64<<10)
			out.Write(answer.Head)
			if req.Method != http.MethodHead {
				out.Write(answer.Body)
			}
			if err := out.Flush(); err != nil || !ok {
				s.add(Result{Failed: 1})
				return
			}
			s.add(Result{OK: 1, Sent: int64(len(answer.Body))})
			if answer.Close {
				return
			}
		}
	})
}

// ClosesAfter reports whether an answer with this head ends the connection:
// RFC 9112, section 9.3.
func ClosesAfter(head []byte) bool {
	text := strings.ToLower(string(head))
	if strings.Contains(text, "\r\nconnection: keep-alive\r\n") {
		return false
	}
	return strings.HasPrefix(text, "http/1.0") || strings.Contains(text, "\r\nconnection: close\r\n")
}
