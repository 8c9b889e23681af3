package replay

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/vnreplay/vnreplay/pcap"
)

// Compare says what of the live side is compared.
type Compare uint8

// What is compared.
const (
	CompareStream Compare = iota // what applications see, and how connections open and close
	CompareFrames                // also every frame of the live side, field by field
	CompareNone                  // nothing: only play
)

// String returns "stream", "frames" or "none".
func (c Compare) String() string { return [...]string{"stream", "frames", "none"}[c] }

// ParseCompare reads the word for a [Compare].
func ParseCompare(s string) (Compare, error) {
	for c := CompareStream; c <= CompareNone; c++ {
		if c.String() == s {
			return c, nil
		}
	}
	return 0, fmt.Errorf("%q is not stream, frames or none", s)
}

// ErrForeign is the error of [CompareFrames] for a capture that this program did
// not record, or not with this seed.
var ErrForeign = errors.New("frames can be compared in recordings of this program only")

// comparable checks that frames can be compared.
func (a *Analysis) comparable(seed uint64) error {
	m := a.Capture.Meta
	switch {
	case m == nil:
		return fmt.Errorf("%w: %s is a capture of other stacks, which are free to choose windows, segments and options; compare its streams",
			ErrForeign, a.Capture.Name)
	case m.Seed != seed:
		return fmt.Errorf("%w with the seed of the recording: it is %d, not %d", ErrForeign, m.Seed, seed)
	}
	return nil
}

// volatile are the fields that differ between two runs of one stack with no
// consequence, by what masks are called. Sequence numbers are compared from their
// beginning.
var volatile = map[string]string{
	"eth.dst": "mac", "eth.src": "mac", "ip.id": "ip-id", "ipv6.fraghdr.ident": "ip-id", "ipv6.flow": "flow-label",
	"ip.checksum": "checksum", "tcp.checksum": "checksum", "udp.checksum": "checksum", "icmp.checksum": "checksum", "icmpv6.checksum": "checksum",
}

// frameJudge holds the frames of one live end against the captured ones.
type frameJudge struct {
	p      *Played
	frames []*Frame // of the live end, in order
	next   int
	failed bool

	// seq is the difference between the live end's numbers and the captured ones.
	seq   uint32
	known bool
}

func newFrameJudge(p *Played) *frameJudge {
	j := &frameJudge{p: p}
	for _, f := range p.e.a.Capture.Frames {
		if f.Number >= p.First && f.Number <= p.Last && !f.Copy && p.carries(f) && f.IP.Src == p.Ends[p.Live].Addr() {
			j.frames = append(j.frames, f)
		}
	}
	return j
}

// frame is told of each frame of a live host that belongs to a conversation.
func (e *engine) frame(p *Played, d *pcap.Decoded, data []byte) {
	if e.o.Compare != CompareFrames {
		return
	}
	j := e.judges[p]
	if j == nil {
		j = newFrameJudge(p)
		e.judges[p] = j
	}
	j.take(d, data)
}

func (j *frameJudge) take(d *pcap.Decoded, data []byte) {
	if j.failed {
		return
	}
	if j.next == len(j.frames) {
		j.fail(&Divergence{Frame: j.p.Last, Text: fmt.Sprintf("the live side sent one more frame than the %d of the capture", len(j.frames))})
		return
	}
	f := j.frames[j.next]
	j.next++
	actual := bytes.Clone(data)
	if t := d.TCP; t != nil && f.TCP != nil {
		if !j.known {
			j.known, j.seq = true, t.Seq-f.TCP.Seq
		}
		// Written as the captured stack would have numbered it.
		binary.BigEndian.PutUint32(actual[t.Offset+4:], t.Seq-j.seq)
	}
	var differ []pcap.FieldDiff
	for _, x := range pcap.Diff(f.Data, actual) {
		if name := j.mask(x); name != "" {
			j.p.e.report.Masked = add(j.p.e.report.Masked, name)
			continue
		}
		differ = append(differ, x)
	}
	if len(differ) == 0 {
		if j.seq != 0 {
			j.p.e.report.Masked = add(j.p.e.report.Masked, "field isn")
		}
		return
	}
	x := differ[0]
	div := &Divergence{Frame: f.Number, Text: fmt.Sprintf("%s is %s, in the capture %s", x.Name, x.Actual, x.Expected)}
	if len(differ) > 1 {
		var more []string
		for _, y := range differ[1:] {
			more = append(more, y.Name)
		}
		div.Hint = "also " + strings.Join(more, ", ")
	}
	j.fail(div)
}

// mask names the mask that covers a field, "" for none.
func (j *frameJudge) mask(x pcap.FieldDiff) string {
	if name := volatile[x.Name]; name != "" {
		return "field " + name
	}
	switch x.Name {
	case "tcp.srcport", "udp.srcport":
		if j.p.Live == 0 {
			return "field ephemeral-port"
		}
	case "icmp.ident", "icmpv6.echo.identifier":
		return "field echo-id"
	case "tcp.options.timestamp.tsval":
		if x.Expected != "-" && x.Actual != "-" {
			return "field timestamp"
		}
	}
	return ""
}

func (j *frameJudge) fail(d *Divergence) {
	j.failed = true
	d.Kind, d.Offset, d.Conversation = "frame", -1, j.p.Conversation
	d.From, d.To = j.p.Ends[j.p.Live], j.p.Ends[j.p.me]
	j.p.e.report.diverge(j.p.e, d)
}

// judgeFrames is called at the end: what was captured and did not come differs, too.
func (e *engine) judgeFrames() {
	if e.o.Compare != CompareFrames {
		return
	}
	for _, p := range e.report.Conversations {
		j := e.judges[p]
		if j == nil {
			continue
		}
		if p.Same && !j.failed && j.next < len(j.frames) {
			j.fail(&Divergence{Frame: j.frames[j.next].Number, Text: fmt.Sprintf("the live side never sent its frame %d of %d", j.next+1, len(j.frames))})
		}
		p.Same = p.Same && !j.failed
	}
}
