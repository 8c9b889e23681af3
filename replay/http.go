package replay

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Bounds of what is looked at: bytes of a head, messages of a stream, and headers of
// all of these.
const (
	maxHead     = 1 << 20
	maxMessages = 1 << 16
	maxHeaders  = 1 << 18
)

// httpMessage is one message of an HTTP/1 stream. Offsets are the stream's.
type httpMessage struct {
	n             int // from 1; interim responses (1xx) count, too
	response      bool
	at, body, end int64  // its first byte, the one after the blank line, the one after the body
	first         string // its first line
	headers       []httpHeader
	chunked       bool
	whole         bool // the head is
}

// httpHeader is one header line.
type httpHeader struct {
	name           string
	at, value, end int64 // the line, its value without white space around it, the value's end
	text           string
}

var requestLine = regexp.MustCompile(`^([A-Z][A-Z0-9_-]*) \S+ HTTP/1\.[01]$`)

// parseHTTP reads the messages of a stream as far as they are HTTP/1, none if it
// is something else. Peer is the stream of the other direction: whether a response
// has a body depends on its request.
func parseHTTP(data, peer []byte) (all []httpMessage) {
	var methods []string
	if bytes.HasPrefix(data, []byte("HTTP/1.")) {
		for _, q := range parseHTTP(peer, nil) {
			method, _, _ := strings.Cut(q.first, " ")
			methods = append(methods, method)
		}
	}
	headers := 0
	for at := int64(0); at < int64(len(data)); {
		m, ok := parseHead(data, at)
		if headers += len(m.headers); !ok || len(all) == maxMessages || headers > maxHeaders {
			return all
		}
		m.n = len(all) + 1
		method, code := "", 0
		if m.response {
			if f := strings.Fields(m.first); len(f) > 1 {
				code, _ = strconv.Atoi(f[1])
			}
			if len(methods) > 0 {
				method = methods[0]
			}
			if code >= 200 && len(methods) > 0 {
				methods = methods[1:]
			}
		}
		m.end = m.bodyEnd(data, method, code)
		all = append(all, m)
		if !m.whole || code == 101 || method == "CONNECT" && code/100 == 2 {
			return all // what follows is no HTTP/1
		}
		at = m.end
	}
	return all
}

// parseHead reads the lines up to the blank one, or to the end of the data.
func parseHead(data []byte, at int64) (m httpMessage, ok bool) {
	m.at, m.body = at, int64(len(data))
	limit := min(int64(len(data)), at+maxHead)
	for pos := at; pos < limit; {
		end, next := limit, limit
		if i := bytes.IndexByte(data[pos:limit], '\n'); i >= 0 {
			end, next = pos+int64(i), pos+int64(i)+1
		} else if pos == at {
			return m, false
		}
		line := bytes.TrimSuffix(data[pos:end], []byte("\r"))
		switch {
		case pos == at:
			m.first = string(line)
			m.response = strings.HasPrefix(m.first, "HTTP/1.")
			if !m.response && !requestLine.MatchString(m.first) {
				return m, false
			}
		case len(line) == 0 && end < next:
			m.body, m.whole = next, true
			return m, true
		default:
			name, value, found := bytes.Cut(line, []byte(":"))
			if !found {
				name, value = nil, line
			}
			start := pos + int64(len(line)-len(value))
			trimmed := bytes.TrimLeft(value, " \t")
			start += int64(len(value) - len(trimmed))
			trimmed = bytes.TrimRight(trimmed, " \t")
			m.headers = append(m.headers, httpHeader{string(name), pos, start, start + int64(len(trimmed)), string(trimmed)})
		}
		pos = next
	}
	return m, true
}

// header returns the value of the first header with a name.
func (m *httpMessage) header(name string) (string, bool) {
	for _, h := range m.headers {
		if strings.EqualFold(h.name, name) {
			return h.text, true
		}
	}
	return "", false
}

// bodyEnd finds the end of the body (RFC 9112, 6.3).
func (m *httpMessage) bodyEnd(data []byte, method string, code int) int64 {
	size := int64(len(data))
	te, _ := m.header("Transfer-Encoding")
	m.chunked = strings.Contains(strings.ToLower(te), "chunked")
	length, hasLength := m.header("Content-Length")
	switch {
	case m.response && (method == "HEAD" || code/100 == 1 || code == 204 || code == 304):
		return m.body
	case m.chunked:
		return chunksEnd(data, m.body)
	case hasLength:
		if n, err := strconv.ParseInt(length, 10, 64); err == nil && n >= 0 && n < size-m.body {
			return m.body + n
		}
		return size
	case m.response:
		return size
	}
	return m.body
}

// chunksEnd finds the end of a chunked body with its trailer.
func chunksEnd(data []byte, at int64) int64 {
	size := int64(len(data))
	line := func() (string, bool) {
		i := bytes.IndexByte(data[at:], '\n')
		if i < 0 {
			return "", false
		}
		s := strings.TrimRight(string(data[at:at+int64(i)]), "\r")
		at += int64(i) + 1
		return s, true
	}
	for {
		s, ok := line()
		s, _, _ = strings.Cut(s, ";")
		n, err := strconv.ParseInt(strings.TrimSpace(s), 16, 63)
		if !ok || err != nil || n < 0 || n > size-at {
			return size
		}
		if n == 0 {
			break
		}
		at += n
		if _, ok := line(); !ok {
			return size
		}
	}
	for {
		s, ok := line()
		if !ok {
			return size
		}
		if s == "" {
			return at
		}
	}
}

// messageAt returns the message in which an offset lies, or the last for those
// after it; nil if there is none.
func messageAt(all []httpMessage, offset int64) *httpMessage {
	for i := range all {
		if offset < all[i].end || i == len(all)-1 {
			return &all[i]
		}
	}
	return nil
}

// place says where in the message an offset is.
func (m *httpMessage) place(offset int64) string {
	what := "request"
	if m.response {
		what = "response"
	}
	s := fmt.Sprintf("HTTP %s %d (%s)", what, m.n, clip(m.first, 60))
	switch {
	case offset >= m.end && offset > m.at:
		return s + ", after its end"
	case offset >= m.body:
		if m.chunked {
			return s + fmt.Sprintf(", byte %d of its chunked body", offset-m.body)
		}
		return s + fmt.Sprintf(", byte %d of its body", offset-m.body)
	case len(m.headers) == 0 || offset < m.headers[0].at:
		if m.response {
			return s + ", status line"
		}
		return s + ", request line"
	}
	if h := m.headerAt(offset); h != nil {
		return s + ", header " + clip(h.name, 60)
	}
	return s + ", the blank line after its head"
}

// headerAt returns the header in whose line an offset is.
func (m *httpMessage) headerAt(offset int64) *httpHeader {
	for i := len(m.headers) - 1; i >= 0; i-- {
		h := &m.headers[i]
		if offset >= h.at && (i < len(m.headers)-1 || offset <= h.end+1) {
			return h
		}
	}
	return nil
}
