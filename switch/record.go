package vswitch

import "time"

// Recorder is told everything that happens on a switch. Calls come one at a
// time, from the world's loop, in the order of the world's clock. An error stops
// the run and is the run's error; after it, Record is not called again.
type Recorder interface {
	// Record takes one event. The event and all it points to may be read during
	// the call and must not be kept. Of ports, Record may call the accessors and
	// Counters, and World.Now; any other call of the world may block for ever.
	Record(Event) error
	// Close finishes the recording. It is called once, by whoever made the
	// recorder, after the run.
	Close() error
}

// Event is one of [*Connected], [*Sent], [*Delivered], [*Changed], [*Disconnected].
type Event interface{ event() }

// Connected: a port was added to the switch. It comes before every other event
// that names the port.
type Connected struct {
	Time time.Time
	Port *Port
}

// Sent: a frame entered the switch, and its whole fate is decided.
type Sent struct {
	*Frame

	// Lost is why the frame was lost before it reached the switch's forwarding,
	// for a cause other than a rule; NotLost otherwise.
	Lost Loss

	// Simple is true when the receivers are just the one port whose address is
	// the frame's destination address.
	Simple bool

	// All is true when the receivers are all other ports of the switch.
	All bool

	// Receivers are the ports to which the switch forwarded the frame, in port
	// order. A frame that a rule dropped on the sender's cable still names those it
	// would have reached; one with a Lost has none.
	Receivers []Receiver

	// Hits are the verdicts of rules that did something, in the order of the
	// rules; those of one rule: the sender's cable first, then by port.
	Hits []Hit
}

// Receiver is one receiver's share of a frame's fate.
type Receiver struct {
	Port *Port
	// Lost is why nothing arrives: DroppedByRule or another cause.
	Lost Loss
	// Arrivals is when the frame and its copies arrive, in order of copies; empty
	// if lost. Those of a frame that is held (see Verdict.Behind) arrive then at
	// the latest.
	Arrivals []time.Time

	behind int // held so; see Verdict
	pad    int // bytes that follow it
}

// Delivered: one copy of a frame reached an endpoint. Only a [DeliveryRecorder]
// is told.
type Delivered struct {
	Time time.Time
	Port *Port
	Seq  uint64 // of the frame
	Data []byte // as it arrived, with the Ethernet header
}

// Changed: somebody changed what holds for frames that enter from now on.
type Changed struct {
	Time time.Time
	What Change
	Rule *InstalledRule // the rule that was changed, or nil
	Port *Port          // the port whose cable was, or nil
}

// Change is what was changed while a world ran.
type Change uint8

// The changes. Their String is the word used in recordings.
const (
	RuleAdded   Change = iota // "added"
	RuleRemoved               // "removed"
	RuleOn                    // "on"
	RuleOff                   // "off"
	CableUp                   // "up"
	CableDown                 // "down"
)

var changeNames = [...]string{"added", "removed", "on", "off", "up", "down"}

// String returns the change's word.
func (c Change) String() string { return changeNames[c] }

// Disconnected: a port was closed, or the run ended. It is the last event of its port.
type Disconnected struct {
	Time time.Time
	Port *Port
	// Cut is why the run ended before its time, for a run that did: the harness's
	// error, such as a limit or that it was cancelled. Else nil.
	Cut error
}

func (*Connected) event()    {}
func (*Sent) event()         {}
func (*Delivered) event()    {}
func (*Changed) event()      {}
func (*Disconnected) event() {}

// DeliveryRecorder is a [Recorder] that also wants [*Delivered] events.
type DeliveryRecorder interface {
	Recorder
	// WantDeliveries is asked once, when the switch is made.
	WantDeliveries() bool
}

// Loss is a cause for which a receiver does not get a frame.
type Loss uint8

// The causes. Their String is the word used in recordings and summaries.
const (
	NotLost       Loss = iota
	DroppedByRule      // "rule": a rule's verdict
	LostQueue          // "queue": a full queue before a rate-limited cable
	LostDown           // "down": the cable is down
	LostMTU            // "mtu": bigger than the receiving port's MTU
	LostReserved       // "reserved": a link-local group address, never forwarded by a bridge
)

var lossNames = [...]string{"", "rule", "queue", "down", "mtu", "reserved"}

// String returns the cause's word.
func (l Loss) String() string { return lossNames[l] }
