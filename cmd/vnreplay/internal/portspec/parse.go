package portspec

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/vnreplay/vnreplay/live"
	"github.com/vnreplay/vnreplay/scenario"
	vswitch "github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/tap"
)

// Error says where the text of a port is wrong.
type Error struct {
	Text   string
	Column int    // in characters, from 1
	Token  string // what is wrong there; empty where something is missing
	Msg    string // what is wrong, and what can stand there
	err    error
}

// Error is one line:
//
//	port "tap:", column 5: want an interface's name
func (e *Error) Error() string {
	where := ""
	if e.Token != "" {
		where = ", " + quote(e.Token)
	}
	return fmt.Sprintf("port %s, column %d%s: %s", quote(e.Text), e.Column, where, e.Msg)
}

// Unwrap is the error of what the text names, such as a file.
func (e *Error) Unwrap() error { return e.err }

func quote(s string) string {
	const most = 60
	if utf8.RuneCountInString(s) > most {
		s = string([]rune(s)[:most]) + "..."
	}
	return strconv.Quote(s)
}

// reader reads a text from the left.
type reader struct {
	text string
	at   int // bytes
	port live.Port
	host *live.Host
}

// fail makes the error about a token at an offset in bytes.
func (r *reader) fail(at int, token, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &Error{Text: r.text, Column: utf8.RuneCountInString(r.text[:at]) + 1, Token: token, Msg: err.Error(), err: errors.Unwrap(err)}
}

// Parse reads the text of one port. Files of an http-server are read with it.
func Parse(text string) (live.Port, error) {
	r := &reader{text: text}
	name, rest, named := strings.Cut(text, "=")
	if named && !strings.Contains(name, ":") {
		r.port.Name, r.at = name, len(text)-len(rest)
	} else {
		named = false
	}
	if named && name == "" {
		return live.Port{}, r.fail(0, "=", "want a name before =, or nothing")
	}
	var err error
	if strings.HasPrefix(text[r.at:], "host:") {
		r.at += len("host:")
		err = r.readHost()
	} else {
		err = r.readDevice()
	}
	return r.port, err
}

// readDevice takes the options of the cable out of a spec of package tap, whose the
// others are.
func (r *reader) readDevice() error {
	var kept []string
	var from []int // where each byte of the device's spec stands in the text
	at := r.at
	for i, item := range strings.Split(r.text[r.at:], ",") {
		key, value, ok := strings.Cut(item, "=")
		cable := false
		if i > 0 && ok && key != "mtu" {
			var err error
			if cable, err = r.option(key, value, at+len(key)+1); err != nil {
				return err
			}
		}
		if !cable {
			if i > 0 {
				from = append(from, at-1)
			}
			for k := range len(item) {
				from = append(from, at+k)
			}
			kept = append(kept, item)
		}
		at += len(item) + 1
	}
	r.port.Device = strings.Join(kept, ",")
	err := tap.Check(r.port.Device)
	var spec *tap.SpecError
	switch {
	case errors.As(err, &spec):
		runes := []rune(r.port.Device)
		offset := len(string(runes[:min(max(spec.Column-1, 0), len(runes))]))
		place := len(r.text)
		if offset < len(from) {
			place = from[offset]
		} else if len(from) > 0 {
			place = from[len(from)-1] + 1
		}
		msg := spec.Msg
		if !strings.Contains(r.port.Device, ":") || spec.Column == 1 {
			msg += ", host"
		}
		return &Error{Text: r.text, Column: utf8.RuneCountInString(r.text[:place]) + 1, Token: spec.Token, Msg: msg, err: err}
	case err != nil:
		return r.fail(r.at, "", "%w", err)
	}
	return nil
}

// option reads an option of a cable; known is false if it is none.
func (r *reader) option(key, value string, at int) (known bool, err error) {
	p := &r.port
	switch key {
	case "latency":
		var d scenario.Duration
		if d, err = scenario.ParseDuration(value); err == nil && d == 0 {
			err = errors.New("want more than 0; leave it out for none")
		}
		p.Latency = time.Duration(d)
	case "rate":
		var rate scenario.Rate
		rate, err = scenario.ParseRate(value)
		p.Rate = int64(rate)
	case "queue":
		var q scenario.Queue
		q, err = scenario.ParseQueue(value)
		p.Queue = int(q)
	case "mac":
		hw, perr := net.ParseMAC(value)
		if perr != nil || len(hw) != len(p.MAC) {
			err = errors.New("want an Ethernet address, such as 02:00:00:00:00:01")
			break
		}
		p.MAC = vswitch.MAC(hw)
	default:
		return false, nil
	}
	if err != nil {
		return true, r.fail(at, value, "%w", err)
	}
	return true, nil
}

// readHost reads a host's addresses and options, and its applications.
func (r *reader) readHost() error {
	r.host = &live.Host{}
	r.port.Host = r.host
	for {
		at := r.at
		item := r.text[at:]
		end := strings.IndexAny(item, ",=")
		if end < 0 {
			end = len(item)
		}
		word := item[:end]
		if isOption(word) && end < len(item) && item[end] == '=' {
			value := item[end+1:]
			if n := strings.IndexAny(value, ",="); n >= 0 {
				value = value[:n]
			}
			if err := r.hostOption(word, value, at+end+1); err != nil {
				return err
			}
			end += 1 + len(value)
		} else {
			p, err := scenario.ParsePrefix(word)
			if err != nil {
				return r.fail(at, word, "%w", err)
			}
			r.host.Addrs = append(r.host.Addrs, p.Prefix)
		}
		r.at = at + end
		if r.at == len(r.text) {
			break
		}
		r.at++
		if r.text[r.at-1] == '=' {
			if err := r.readApps(); err != nil {
				return err
			}
			break
		}
	}
	if len(r.host.Addrs) == 0 {
		return r.fail(len(r.text), "", "a host needs an address, such as 10.0.0.2/24")
	}
	if r.port.Name == "" {
		r.port.Name = strings.Trim(strings.ReplaceAll(r.host.Addrs[0].Addr().String(), ":", "-"), "-")
	}
	return nil
}

func isOption(word string) bool {
	switch word {
	case "mtu", "latency", "rate", "queue", "mac", "gateway":
		return true
	}
	return false
}

func (r *reader) hostOption(key, value string, at int) error {
	switch key {
	case "mtu":
		n, err := strconv.Atoi(value)
		if err != nil || n < 68 || n > vswitch.MaxMTU {
			return r.fail(at, value, "want an MTU from 68 to %d", vswitch.MaxMTU)
		}
		r.port.MTU = n
	case "gateway":
		a, err := scenario.ParseAddr(value)
		if err != nil {
			return r.fail(at, value, "%w", err)
		}
		r.host.Gateways = append(r.host.Gateways, a.Addr)
	default:
		_, err := r.option(key, value, at)
		return err
	}
	return nil
}
