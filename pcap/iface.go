package pcap

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	vswitch "github.com/vnreplay/vnreplay/switch"
)

// Interface is one interface of a capture: in a recording, one port.
type Interface struct {
	// ID is the interface's number in its section, as Wireshark shows it.
	// Section numbers sections from 1. Both are 0 and 1 in a classic pcap file.
	ID, Section int

	Name        string // a port's name
	Description string
	Comment     string // of the interface block
	LinkType    int    // LINKTYPE_ value, see https://www.tcpdump.org/linktypes.html
	SnapLen     int    // bytes kept of each frame; 0: all
	FCSLen      int    // bytes of frame check sequence at the end of each frame, where the file says so
	Speed       uint64 // bit/s, 0: not told

	// Port is what the description of a recording's interface says; IsPort
	// tells whether it is one. In other captures only its MAC may be set, from
	// if_MACaddr.
	Port   PortInfo
	IsPort bool

	// Stats are the interface's statistics, nil until they are read; in most
	// files they come last.
	Stats *Statistics

	res    resolution
	offset int64 // seconds
	kept   int   // what Stats takes, see ngScanner.keep
}

// Statistics is an interface statistics block.
type Statistics struct {
	Time       time.Time // of the block
	Start, End time.Time // of the capture on the interface, zero if not told
	Received   uint64
	Dropped    uint64
	Comments   []string

	// Port is what a recording's comment says; IsPort tells whether there is one.
	Port   PortCounters
	IsPort bool

	// Lost is how many frames that were sent on the interface the recorder lost, as a
	// recording's comment "vnr.recorder-lost=N" says. They are among Dropped.
	Lost uint64

	// Cut is why the recorded run ended before its time (a limit, a deadlock,
	// an interrupt), as a recording's comment "vnr.cut=REASON" says; "" for a
	// run that did not. It is text of the file: print it with [Printable].
	Cut string
}

// maxCut bounds the reason in a comment, in bytes: it may name all that waited.
const maxCut = 1000

// cutComment formats why a run was cut short: the error on one line, printable,
// at most maxCut bytes of it.
func cutComment(why error) string {
	reason := Printable(strings.ReplaceAll(why.Error(), "\n", "; "))
	if len(reason) > maxCut {
		n := maxCut - len("…")
		for !utf8.RuneStart(reason[n]) {
			n--
		}
		reason = reason[:n] + "…"
	}
	return cutPrefix + reason
}

const cutPrefix = "vnr.cut="

// PortInfo is what a recording tells of a port in its interface block.
type PortInfo struct {
	MAC     vswitch.MAC
	MTU     int           // bytes after the 14-byte Ethernet header
	Latency time.Duration // of the cable, one way
	Rate    int64         // bit/s, 0: unlimited
	Queue   int           // frames, of a limited cable
	// After is how many frames had entered the world when the port was
	// connected: the packet id of the last one. It is the comment of the
	// interface block, "vnr.port after=N", and left out when 0.
	After uint64
}

// description formats p as the interface's description.
func (p *PortInfo) description() string {
	s := fmt.Sprintf("mac=%v mtu=%d latency=%s", p.MAC, p.MTU, formatDuration(p.Latency))
	if p.Rate > 0 {
		s += fmt.Sprintf(" rate=%d queue=%d", p.Rate, p.Queue)
	}
	return s
}

// comment formats the part of p that is the interface's comment.
func (p *PortInfo) comment() string {
	if p.After == 0 {
		return ""
	}
	return "vnr.port after=" + strconv.FormatUint(p.After, 10)
}

// parsePortInfo reads what description and comment wrote.
func parsePortInfo(description, comment string) (p PortInfo, ok bool) {
	have := 0
	for field := range strings.FieldsSeq(description) {
		key, value, _ := strings.Cut(field, "=")
		var err error
		switch key {
		case "mac":
			p.MAC, err = vswitch.ParseMAC(value)
			have |= 1
		case "mtu":
			p.MTU, err = strconv.Atoi(value)
			have |= 2
		case "latency":
			p.Latency, err = time.ParseDuration(value)
			have |= 4
		case "rate":
			p.Rate, err = strconv.ParseInt(value, 10, 64)
		case "queue":
			p.Queue, err = strconv.Atoi(value)
		}
		if err != nil {
			return PortInfo{}, false
		}
	}
	if after, found := strings.CutPrefix(comment, "vnr.port after="); found {
		v, err := strconv.ParseUint(after, 10, 64)
		if err != nil {
			return PortInfo{}, false
		}
		p.After = v
	}
	if have != 7 || p.Latency < 0 {
		return PortInfo{}, false
	}
	return p, true
}

// PortCounters is the comment of a port's statistics block.
type PortCounters struct {
	Name string
	// Until is how many frames had entered the world when the port was closed.
	Until uint64
	// Open says that it was not closed: the file ends, and another one follows (see
	// [Rotation]). Until is then about that end.
	Open bool
	vswitch.Counters
}

// losses are the causes in the order in which they are written.
var losses = [...]vswitch.Loss{
	vswitch.DroppedByRule, vswitch.LostQueue, vswitch.LostDown, vswitch.LostMTU, vswitch.LostReserved,
}

// lossNamed returns the cause with the given word.
func lossNamed(word string) (vswitch.Loss, bool) {
	for _, l := range losses {
		if l.String() == word {
			return l, true
		}
	}
	return vswitch.NotLost, false
}

// fields pairs the keys of the comment with c's counters, in order.
func (c *PortCounters) fields(fn func(key string, value *uint64)) {
	fn("until", &c.Until)
	fn("tx", &c.TxFrames)
	fn("txbytes", &c.TxBytes)
	fn("rx", &c.RxFrames)
	fn("rxbytes", &c.RxBytes)
	fn("rxcopies", &c.RxCopies)
	fn("inflight", &c.RxInFlight)
	fn("runts", &c.Runts)
	fn("oversize", &c.Oversize)
	fn("txfull", &c.TxQueueFull)
	for _, l := range losses {
		fn("rxlost."+l.String(), &c.RxLost[l])
	}
	for _, l := range losses {
		fn("txlost."+l.String(), &c.TxLost[l])
	}
}

// comment formats c: "vnr.port=NAME until=… tx=…", all counters, always.
func (c *PortCounters) comment() string {
	b := append([]byte("vnr.port="), escape(c.Name)...)
	if c.Open {
		b = append(b, " open=1"...)
	}
	c.fields(func(key string, v *uint64) {
		b = append(b, ' ')
		b = append(b, key...)
		b = append(b, '=')
		b = strconv.AppendUint(b, *v, 10)
	})
	return string(b)
}

// parsePortCounters reads what comment wrote; unknown keys are ignored.
func parsePortCounters(comment string) (c PortCounters, ok bool) {
	rest, found := strings.CutPrefix(comment, "vnr.port=")
	if !found {
		return PortCounters{}, false
	}
	name, rest, _ := strings.Cut(rest, " ")
	if c.Name, ok = unescape(name); !ok {
		return PortCounters{}, false
	}
	values := map[string]uint64{}
	for field := range strings.FieldsSeq(rest) {
		key, value, _ := strings.Cut(field, "=")
		v, err := strconv.ParseUint(value, 10, 64)
		if err != nil {
			return PortCounters{}, false
		}
		values[key] = v
	}
	c.Open = values["open"] > 0
	c.fields(func(key string, v *uint64) { *v = values[key] })
	return c, true
}
