package pcap

import (
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	vswitch "github.com/vnreplay/vnreplay/switch"
)

// Fate is what became of one frame, as its comments in a recording say it. A
// frame without such comments went to the port that owns its destination
// address, untouched: the zero Fate.
//
// Each clause is one comment, a word or more of key=value; names and reasons have
// bytes other than letters, digits and _.:/+- written as %XX:
//
//	vnr.to=all | vnr.to=none | vnr.to=server,web     who the receivers are
//	vnr.fault=drop rule=2:loss [at=server] [reason=…]
//	vnr.fault=dup rule=1:d1 copies=2 [gap=1ms] [at=server]
//	vnr.fault=corrupt rule=3:c1 bytes=@66:4f>4e,@70:00ff>0100 [at=server]
//	vnr.fault=truncate rule=4 to=60 [at=server]      so many bytes were left
//	vnr.fault=pad rule=5 bytes=3 [at=server]         zero bytes that followed it
//	vnr.fault=delay rule=6 by=40ms [at=server]
//	vnr.fault=reorder rule=7 behind=3 within=1s [at=server]
//	vnr.lost=queue|down|mtu|reserved [at=server]      lost for another cause than a rule
//	vnr.queued=1.2ms,2.4ms at=server                  how much later the copies arrived
//	vnr.change=off rule=2:loss time=2026-01-01T00:00:01.5Z
//	vnr.change=added rule=5 time=… text=drop 2%       the text is the rest of it
//	vnr.change=down port=server time=…                up, down: of the port's cable
//
// The last two are about no frame: somebody changed a rule (added, removed, on,
// off) or a cable (up, down) after the frame before was sent. Changes after the
// last frame stand in the statistics of the first port that was closed after them.
//
// A frame that is reordered is held at the receiver until so many later frames of
// its sender have arrived there (those that are held do not count); it arrives a
// nanosecond after the last of them, and no later than the time within after it
// would have. What else delays it comes first; its copies are held with it.
//
// rule is the number of the rule on its switch, and its name if it has one. at
// names the receiver to whose cable the clause applies; without it, it is the
// sender's cable. Offsets count from the first byte of the Ethernet header.
type Fate struct {
	To    Receivers
	Names []string // the receivers, in port order, when To is ToNames

	Faults []Fault // what rules did, in the order of the rules
	Lost   []Lost
	Queued []Queued

	// Changes are what was changed between the frame before and this one.
	Changes []Change

	// Foreign are comments that are not ours, as they were.
	Foreign []string
}

// Receivers says who the receivers of a frame are.
type Receivers uint8

// The kinds of receivers.
const (
	ToOwner Receivers = iota // the port that owns the destination address; no clause
	ToAll                    // every other port of the switch at that time
	ToNone                   // nobody
	ToNames                  // the ports named
)

// FaultKind is what a rule did.
type FaultKind uint8

// The kinds of faults.
const (
	FaultDrop FaultKind = iota
	FaultDup
	FaultCorrupt
	FaultTruncate
	FaultPad
	FaultDelay
	FaultReorder
)

var faultWords = [...]string{"drop", "dup", "corrupt", "truncate", "pad", "delay", "reorder"}

// String returns the word used in comments: drop, dup, corrupt, truncate, pad,
// delay, reorder.
func (k FaultKind) String() string { return faultWords[k] }

// Fault is one thing a rule did to a frame on one cable.
type Fault struct {
	Kind   FaultKind
	Rule   int            // the rule's number
	Name   string         // and its name, "" for none
	Copies int            // of a dup: how many more arrive
	Gap    time.Duration  // of a dup: between one copy and the next
	Edits  []vswitch.Edit // of a corrupt: bytes changed, in order
	Size   int            // of a truncate: the bytes left; of a pad: the bytes added
	By     time.Duration  // of a delay
	Behind int            // of a reorder: how many frames pass it
	Within time.Duration  // of a reorder: but no longer
	At     string         // the receiver whose cable it happened on; "": the sender's
	Reason string
}

// Lost is a loss for a cause other than a rule.
type Lost struct {
	Cause vswitch.Loss
	At    string // the receiver that lost it; "": it was lost before the switch forwarded it
}

// Queued says when the copies of a frame arrived at one receiver: By[k] later
// than the time of sending, both cables' latencies, what rules delayed, and k
// times the gap. len(By) copies arrived, the frame itself included.
type Queued struct {
	By []time.Duration
	At string
}

// Change is something that was changed while the world ran.
type Change struct {
	What vswitch.Change
	Time time.Time
	Rule int // the rule that was changed: its number and name
	Name string
	Port string // or the port whose cable was; "" for a change of a rule
	Text string // of a rule that was added, if it can tell it
}

// maxClause is where a list of names or bytes is continued in a further clause;
// a comment holds 65,535 bytes.
const maxClause = 60000

// IsZero reports whether there is nothing to say.
func (f *Fate) IsZero() bool {
	return f.To == ToOwner && len(f.Faults) == 0 && len(f.Lost) == 0 && len(f.Queued) == 0 && len(f.Changes) == 0
}

// Comments formats f, a string per clause: changes, receivers, faults, losses,
// queueing, then the foreign comments. [ParseFate] reads it back; where a list of names or
// bytes is too long for one comment there are several clauses.
func (f *Fate) Comments() []string {
	var out []string
	f.clauses(nil, func(clause []byte) { out = append(out, string(clause)) })
	return append(out, f.Foreign...)
}

// clauses formats f but for foreign comments, calls emit for each clause, and
// returns buf, which it uses, grown.
func (f *Fate) clauses(buf []byte, emit func([]byte)) []byte {
	for i := range f.Changes {
		buf = f.Changes[i].append(buf[:0])
		emit(buf)
	}
	switch f.To {
	case ToAll:
		buf = append(buf[:0], "vnr.to=all"...)
		emit(buf)
	case ToNone:
		buf = append(buf[:0], "vnr.to=none"...)
		emit(buf)
	case ToNames:
		const head = "vnr.to="
		buf = append(buf[:0], head...)
		for _, name := range f.Names {
			if len(buf) > maxClause {
				emit(buf)
				buf = append(buf[:0], head...)
			}
			if len(buf) > len(head) {
				buf = append(buf, ',')
			}
			buf = appendReceiver(buf, name)
		}
		emit(buf)
	}
	for i := range f.Faults {
		buf = f.Faults[i].clauses(buf, emit)
	}
	for _, l := range f.Lost {
		buf = append(append(buf[:0], "vnr.lost="...), l.Cause.String()...)
		buf = appendName(buf, " at=", l.At)
		emit(buf)
	}
	for _, q := range f.Queued {
		buf = append(buf[:0], "vnr.queued="...)
		for i, d := range q.By {
			if i > 0 {
				buf = append(buf, ',')
			}
			buf = appendDuration(buf, d)
		}
		buf = appendName(buf, " at=", q.At)
		emit(buf)
	}
	return buf
}

// append formats the change as a comment.
func (c *Change) append(b []byte) []byte {
	b = append(append(b, "vnr.change="...), c.What.String()...)
	if c.Port != "" {
		b = appendName(b, " port=", c.Port)
	} else {
		b = strconv.AppendInt(append(b, " rule="...), int64(c.Rule), 10)
		b = appendName(b, ":", c.Name)
	}
	b = c.Time.UTC().AppendFormat(append(b, " time="...), time.RFC3339Nano)
	if c.Text != "" {
		b = append(append(b, changeText...), clauseText(c.Text)...)
	}
	return b
}

// changeText begins the text of a rule in a clause, which is the rest of it.
const changeText = " text="

// maxText is how much of a rule's text stands in a clause, in bytes; a byte may be
// written as four.
const maxText = maxClause / 4

// clauseText is a text as it stands at the end of a clause: as it is if it is of printable
// ASCII and does not begin with a double quote, a Go string literal otherwise.
func clauseText(s string) string {
	plain := !strings.HasPrefix(s, `"`)
	for i := range len(s) {
		plain = plain && s[i] >= ' ' && s[i] <= '~'
	}
	if plain {
		return s
	}
	return strconv.QuoteToASCII(s)
}

func (f *Fault) clauses(buf []byte, emit func([]byte)) []byte {
	head := func() {
		buf = append(append(buf[:0], "vnr.fault="...), f.Kind.String()...)
		buf = append(buf, " rule="...)
		buf = strconv.AppendInt(buf, int64(f.Rule), 10)
		buf = appendName(buf, ":", f.Name)
	}
	tail := func() {
		buf = appendName(buf, " at=", f.At)
		buf = appendName(buf, " reason=", f.Reason)
		emit(buf)
	}
	head()
	switch f.Kind {
	case FaultDup:
		buf = append(buf, " copies="...)
		buf = strconv.AppendInt(buf, int64(f.Copies), 10)
		if f.Gap != 0 {
			buf = appendDuration(append(buf, " gap="...), f.Gap)
		}
	case FaultTruncate:
		buf = strconv.AppendInt(append(buf, " to="...), int64(f.Size), 10)
	case FaultPad:
		buf = strconv.AppendInt(append(buf, " bytes="...), int64(f.Size), 10)
	case FaultDelay:
		buf = appendDuration(append(buf, " by="...), f.By)
	case FaultReorder:
		buf = strconv.AppendInt(append(buf, " behind="...), int64(f.Behind), 10)
		buf = appendDuration(append(buf, " within="...), f.Within)
	case FaultCorrupt:
		// An edit of n bytes takes 4n characters and a little.
		const piece = maxClause / 8
		const bytes = " bytes="
		buf = append(buf, bytes...)
		first := len(buf)
		for _, e := range f.Edits {
			for at := 0; at < len(e.Old) || at == 0; at += piece {
				end := min(at+piece, len(e.Old))
				if len(buf) > first && len(buf)+4*(end-at) > maxClause {
					tail()
					head()
					buf = append(buf, bytes...)
				}
				if len(buf) > first {
					buf = append(buf, ',')
				}
				buf = append(buf, '@')
				buf = strconv.AppendInt(buf, int64(e.Offset+at), 10)
				buf = append(buf, ':')
				buf = hex.AppendEncode(buf, e.Old[at:end])
				buf = append(buf, '>')
				buf = hex.AppendEncode(buf, e.New[at:end])
			}
		}
	}
	tail()
	return buf
}

// explains returns the comments that explain copy k of a frame to receiver name:
// what was delayed, changed and, for further copies, multiplied on the way.
func (f *Fate) explains(name string, k int) []string {
	e := Fate{Foreign: f.Foreign}
	for _, fault := range f.Faults {
		if fault.At != "" && fault.At != name || fault.Kind == FaultDrop || fault.Kind == FaultDup && k == 0 {
			continue
		}
		e.Faults = append(e.Faults, fault)
	}
	for _, q := range f.Queued {
		if q.At == name {
			e.Queued = append(e.Queued, q)
		}
	}
	return e.Comments()
}

// appendName appends key and the escaped value, or nothing for "".
func appendName(b []byte, key, value string) []byte {
	if value == "" {
		return b
	}
	return append(append(b, key...), escape(value)...)
}

// appendReceiver appends a name of a vnr.to list; the names "all" and "none"
// have their first letter escaped, as the words mean something else there.
func appendReceiver(b []byte, name string) []byte {
	if name == "all" || name == "none" {
		return append(appendEscaped(b, name[0]), name[1:]...)
	}
	return append(b, escape(name)...)
}

// plainByte tells the bytes that stand for themselves in names and reasons.
func plainByte(c byte) bool {
	switch {
	case '0' <= c && c <= '9', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
		return true
	}
	switch c {
	case '_', '.', ':', '/', '+', '-':
		return true
	}
	return false
}

func appendEscaped(b []byte, c byte) []byte {
	const digits = "0123456789ABCDEF"
	return append(b, '%', digits[c>>4], digits[c&15])
}

// escape writes bytes that are not plain as %XX.
func escape(s string) string {
	for i := range len(s) {
		if !plainByte(s[i]) {
			b := make([]byte, 0, len(s)+8)
			for j := range len(s) {
				if plainByte(s[j]) {
					b = append(b, s[j])
				} else {
					b = appendEscaped(b, s[j])
				}
			}
			return string(b)
		}
	}
	return s
}

// formatDuration is [time.Duration.String] in ASCII: 25us, 1m0s.
func formatDuration(d time.Duration) string { return string(appendDuration(nil, d)) }

// appendDuration appends that.
func appendDuration(b []byte, d time.Duration) []byte {
	const minute, hour = uint64(time.Minute), uint64(time.Hour)
	ns := uint64(d)
	if d < 0 {
		b, ns = append(b, '-'), -ns
	}
	switch {
	case ns == 0:
		return append(b, "0s"...)
	case ns < 1e3:
		return append(strconv.AppendUint(b, ns, 10), "ns"...)
	case ns < 1e6:
		return append(appendDecimal(b, ns, 1e3), "us"...)
	case ns < 1e9:
		return append(appendDecimal(b, ns, 1e6), "ms"...)
	}
	if ns >= hour {
		b = append(strconv.AppendUint(b, ns/hour, 10), 'h')
	}
	if ns >= minute {
		b = append(strconv.AppendUint(b, ns%hour/minute, 10), 'm')
	}
	return append(appendDecimal(b, ns%minute, 1e9), 's')
}

// appendDecimal appends v/unit, of which unit is a power of ten.
func appendDecimal(b []byte, v, unit uint64) []byte {
	b = strconv.AppendUint(b, v/unit, 10)
	if v %= unit; v > 0 {
		b = append(b, '.')
	}
	for v > 0 {
		unit /= 10
		b = append(b, byte('0'+v/unit))
		v %= unit
	}
	return b
}
