package scenario

import (
	"time"

	"github.com/vnreplay/vnreplay/apps"
	"github.com/vnreplay/vnreplay/pcap"
	"github.com/vnreplay/vnreplay/switch"
)

// Result is what a run did. Its JSON form is what programs read.
type Result struct {
	Seed      uint64        `json:"seed"`
	Frames    uint64        `json:"frames"`     // that hosts sent
	Bytes     uint64        `json:"bytes"`      // of these, with Ethernet headers
	Virtual   time.Duration `json:"virtual_ns"` // how far the world's clock went
	Wall      time.Duration `json:"wall_ns"`    // how long it took
	Unordered uint64        `json:"unordered"`  // calls whose order only the Go scheduler decided
	// CutOff counts closed connections whose last bytes the end of the run left
	// unacknowledged.
	CutOff uint64 `json:"cut_off,omitempty"`

	// Affected is how many frames rules affected, each counted once in each field.
	Affected Affected     `json:"affected"`
	Rules    []RuleResult `json:"rules"`
	Apps     []AppResult  `json:"apps"`
	TCP      TCPResult    `json:"tcp"`
	Failures []Failure    `json:"failures"`
}

// OK reports whether everything went as expected.
func (r *Result) OK() bool { return len(r.Failures) == 0 }

// RuleResult is what one fault rule did.
type RuleResult struct {
	Number int    `json:"number"` // from 1
	Name   string `json:"name,omitempty"`
	Text   string `json:"text"`
	// Matched is how often the rule was asked; 0 if it watched a cable on which
	// nothing passed. The counts are frames affected.
	Matched uint64 `json:"matched"`
	Affected
}

// Affected counts frames, by what was done to them.
type Affected struct {
	Frames     uint64 `json:"frames"` // in any way
	Dropped    uint64 `json:"dropped"`
	Duplicated uint64 `json:"duplicated"`
	Corrupted  uint64 `json:"corrupted"`
	Delayed    uint64 `json:"delayed"`
}

func affected(c vswitch.RuleCounts) Affected {
	return Affected{Frames: c.Frames, Dropped: c.Dropped, Duplicated: c.Copied, Corrupted: c.Changed, Delayed: c.Delayed}
}

// AppResult is what one application did.
type AppResult struct {
	Name   string `json:"name"`
	Host   string `json:"host"`
	Kind   string `json:"kind"`
	Server bool   `json:"server"`

	Began    time.Duration `json:"began_ns"` // from the start of the world's clock
	Took     time.Duration `json:"took_ns"`  // if it finished
	Finished bool          `json:"finished"`
	Error    string        `json:"error,omitempty"`
	apps.Result

	err error
}

// Err returns the error that the application ended with.
func (a *AppResult) Err() error { return a.err }

// TCPResult is about all hosts' TCP together.
type TCPResult struct {
	Retransmits    uint64 `json:"retransmits"`     // segments sent again
	Resets         uint64 `json:"resets"`          // RST segments sent
	ChecksumErrors uint64 `json:"checksum_errors"` // segments dropped for theirs
}

// Failure is something that was expected and is not so.
type Failure struct {
	What     string `json:"what"` // "get.ok", "faults.loss", "app echo", "run"
	Expected string `json:"expected"`
	Actual   string `json:"actual"`

	unfinished bool
}

// Unfinished reports whether it is an application that was still at work when the
// run ended. Where applications wait for each other there are many of these.
func (f Failure) Unfinished() bool { return f.unfinished }

// String is one line.
func (f Failure) String() string {
	return pcap.Printable(f.What + ": expected " + f.Expected + ", got " + f.Actual)
}
