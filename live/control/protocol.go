package control

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/vnreplay/vnreplay/live"
)

// Version is the protocol's.
const Version = 1

// What can be done; see the package comment.
const (
	DoStatus      = "status"
	DoFaultAdd    = "fault-add"
	DoFaultOn     = "fault-on"
	DoFaultOff    = "fault-off"
	DoFaultRemove = "fault-remove"
	DoCable       = "cable"
	DoRotate      = "rotate"
	DoStop        = "stop"
	DoCapture     = "capture"
)

// Request is one line from a client.
type Request struct {
	Version int    `json:"vnreplay"`
	Do      string `json:"do"`
	Rule    string `json:"rule,omitempty"` // of fault-add its text, of the others its number or name
	Port    string `json:"port,omitempty"` // of cable
	Up      *bool  `json:"up,omitempty"`   // of cable
}

// Answer is one line from a switch.
type Answer struct {
	Version int    `json:"vnreplay"`
	Error   string `json:"error,omitempty"`

	PID    int              `json:"pid,omitempty"`    // with a status
	Status *live.Status     `json:"status,omitempty"` // of status
	Rule   *live.RuleStatus `json:"rule,omitempty"`   // of what is about one rule
}

// maxLine bounds a request, in bytes; a rule's text is the longest part of one.
const maxLine = 128 << 10

// readRequest reads one request strictly.
func readRequest(line []byte) (Request, error) {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	var r Request
	if err := d.Decode(&r); err != nil {
		return r, fmt.Errorf("no request: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return r, fmt.Errorf("something stands behind the request")
	}
	if r.Version != Version {
		return r, fmt.Errorf("version %d of the protocol; this is vnreplay of version %d", r.Version, Version)
	}
	return r, r.check()
}

// check says what a request lacks, and what it does not need.
func (r *Request) check() error {
	rule, port := false, false
	switch r.Do {
	case DoStatus, DoRotate, DoStop, DoCapture:
	case DoFaultAdd, DoFaultOn, DoFaultOff, DoFaultRemove:
		rule = true
	case DoCable:
		port = true
	default:
		return fmt.Errorf("cannot do %q", r.Do)
	}
	switch {
	case rule != (r.Rule != ""):
		return fmt.Errorf("%s: rule is missing, or not wanted", r.Do)
	case port != (r.Port != "") || port != (r.Up != nil):
		return fmt.Errorf("%s: port and up are missing, or not wanted", r.Do)
	}
	return nil
}
