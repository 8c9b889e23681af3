package scenario

import (
	"strconv"
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

	// Switches are the shares of several switches; a frame that a router sends on is one
	// on each. Of a single switch there are none.
	Switches []SwitchResult `json:"switches,omitempty"`

	// Lost is what was lost without a rule.
	Lost LostResult `json:"lost"`

	// Affected is how many frames rules affected, each counted once in each field.
	Affected Affected     `json:"affected"`
	Rules    []RuleResult `json:"rules"`
	Apps     []AppResult  `json:"apps"`
	TCP      TCPResult    `json:"tcp"`
	Failures []Failure    `json:"failures"`
}

// LostResult counts what was lost without a rule, by cause: frames on their senders'
// cables, and on the cables of each of their receivers; and packets in routers.
type LostResult struct {
	Queue uint64 `json:"queue"` // the queue before a cable of limited rate was full
	Down  uint64 `json:"down"`  // the cable was pulled
	MTU   uint64 `json:"mtu"`   // longer than the receiver's port takes

	// NotForwarded are packets that routers had to drop: no hops left, no way, too long, or
	// not to be forwarded at all. Of most an ICMP message has told the sender.
	NotForwarded uint64 `json:"not_forwarded,omitempty"`
}

func (l *LostResult) add(c *vswitch.Counters) {
	l.Queue += c.TxLost[vswitch.LostQueue] + c.RxLost[vswitch.LostQueue]
	l.Down += c.TxLost[vswitch.LostDown] + c.RxLost[vswitch.LostDown]
	l.MTU += c.TxLost[vswitch.LostMTU] + c.RxLost[vswitch.LostMTU]
}

// SwitchResult is what was sent on one of several switches.
type SwitchResult struct {
	Name   string `json:"name"`
	Frames uint64 `json:"frames"`
	Bytes  uint64 `json:"bytes"` // with Ethernet headers
}

// OK reports whether everything went as expected.
func (r *Result) OK() bool { return len(r.Failures) == 0 }

// RuleResult is what one fault rule did.
type RuleResult struct {
	Number int    `json:"number"` // from 1
	Name   string `json:"name,omitempty"`
	Text   string `json:"text"`
	// Added is false of a rule that a script was to add after the run's end.
	Added bool `json:"added"`
	// Matched is how often the rule was in force where it was about the frame; 0
	// if nothing came of it. The counts are frames affected.
	Matched uint64 `json:"matched"`
	// Idle is whether it could do nothing at all, as its probability is 0. It was
	// then not asked, so that Matched is 0, and was not meant to match.
	Idle bool `json:"idle,omitempty"`
	Affected
}

// unmatched adds a failure for each rule that never matched.
func (r *Result) unmatched() {
	for i := range r.Rules {
		rule := &r.Rules[i]
		if rule.Matched > 0 || rule.Idle {
			continue
		}
		name := rule.Name
		if name == "" {
			name = strconv.Itoa(rule.Number)
		}
		r.Failures = append(r.Failures, Failure{What: "faults." + name, Expected: "it matches", Actual: "it never did"})
	}
}

// Affected counts frames, by what was done to them.
type Affected struct {
	Frames     uint64 `json:"frames"` // in any way
	Dropped    uint64 `json:"dropped"`
	Duplicated uint64 `json:"duplicated"`
	Corrupted  uint64 `json:"corrupted"`
	Truncated  uint64 `json:"truncated"`
	Padded     uint64 `json:"padded"`
	Delayed    uint64 `json:"delayed"`
	Reordered  uint64 `json:"reordered"`
	Refused    uint64 `json:"refused"` // inside the sender's write; not among Frames
}

// AffectedOf is what the counts of a rule come to.
func AffectedOf(c vswitch.RuleCounts) Affected {
	return Affected{Frames: c.Frames, Dropped: c.Dropped, Duplicated: c.Copied, Corrupted: c.Changed,
		Truncated: c.Truncated, Padded: c.Padded, Delayed: c.Delayed, Reordered: c.Reordered, Refused: c.Refused}
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
