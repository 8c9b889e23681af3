package pcap

import (
	"errors"
	"fmt"
	"io"
	"time"

	vswitch "github.com/vnreplay/vnreplay/switch"
)

// Recorder writes what happens on a switch to pcapng. It is a
// [vswitch.DeliveryRecorder]; give it to the switch as its Recorder, and call
// Close after the run.
//
// A wire recording ([NewRecorder]) holds each frame once, on its sender's
// interface, with its fate in comments: every other view is derived from it. A
// full recording ([NewFullRecorder]) holds each arrival too.
//
// It writes in the caller, in chunks of 256 KiB, and loses nothing: a slow
// writer makes the run wait. An untouched frame costs no allocation. It is not
// safe for concurrent use; a switch does not use it concurrently.
type Recorder struct {
	b      *blockWriter
	file   *File // to be closed with it, or nil
	full   bool
	err    error // the first
	closed bool

	ports []recordedPort // by port number
	open  int            // ports connected and not disconnected
	ever  int            // ports ever connected
	last  uint64         // the last frame's number

	changes []Change // since the last frame

	fate Fate // scratch
}

type recordedPort struct {
	port  *vswitch.Port
	iface int
	since time.Time
}

var _ vswitch.DeliveryRecorder = (*Recorder)(nil)

// errRecorderClosed: an event came after Close.
var errRecorderClosed = errors.New("pcap: recorder is closed")

// NewRecorder returns a wire recorder that writes to w. meta describes the run;
// View becomes "wire", an empty Clock "virtual". The error is
// [ErrMetaTooLong].
func NewRecorder(w io.Writer, meta Meta) (*Recorder, error) {
	return newRecorder(w, "recording", meta, "wire")
}

// NewFullRecorder returns a recorder that also writes every arrival: inbound, on
// the receiver's interface, with the packet id of the frame and without
// comments. It takes as many times the space as frames have receivers. View
// becomes "full".
func NewFullRecorder(w io.Writer, meta Meta) (*Recorder, error) {
	return newRecorder(w, "recording", meta, "full")
}

func newRecorder(w io.Writer, name string, meta Meta, view string) (*Recorder, error) {
	meta.View = view
	if meta.Clock == "" {
		meta.Clock = "virtual"
	}
	comments, err := meta.Marshal()
	if err != nil {
		return nil, err
	}
	return &Recorder{b: newBlockWriter(w, name, comments, writeBuffer), full: view == "full"}, nil
}

// Create returns a wire recorder that writes to the file path, as [CreateFile]
// does; Close closes the file, which gives it its name.
func Create(path string, meta Meta) (*Recorder, error) {
	f, err := CreateFile(path)
	if err != nil {
		return nil, err
	}
	r, err := newRecorder(f, f.Written(), meta, "wire")
	if err != nil {
		f.Abort()
		return nil, err
	}
	r.file = f
	return r, nil
}

// WantDeliveries reports whether it is a full recorder.
func (r *Recorder) WantDeliveries() bool { return r.full }

// Record writes one event. The first error of writing is a [*WriteError]; it is
// returned now and from every later call.
func (r *Recorder) Record(e vswitch.Event) error {
	if r.closed {
		return errRecorderClosed
	}
	if r.err != nil {
		return r.err
	}
	switch e := e.(type) {
	case *vswitch.Sent:
		r.err = r.sent(e)
	case *vswitch.Delivered:
		if r.full {
			r.err = r.delivered(e)
		}
	case *vswitch.Connected:
		r.err = r.connected(e)
	case *vswitch.Changed:
		r.changed(e)
	case *vswitch.Disconnected:
		r.err = r.disconnected(e)
	}
	return r.err
}

func (r *Recorder) connected(e *vswitch.Connected) error {
	p := e.Port
	info := PortInfo{MAC: p.MAC(), MTU: p.MTU(), Latency: p.Latency(), Rate: p.Rate(), Queue: p.Queue(), After: r.last}
	iface, err := r.b.addInterface(p.Name(), info.description(), info.comment())
	for len(r.ports) <= p.Number() {
		r.ports = append(r.ports, recordedPort{})
	}
	r.ports[p.Number()] = recordedPort{port: p, iface: iface, since: e.Time}
	r.open++
	r.ever++
	return err
}

// iface returns the interface of a port.
func (r *Recorder) iface(p *vswitch.Port) (int, error) {
	if n := p.Number(); n < len(r.ports) && r.ports[n].port == p {
		return r.ports[n].iface, nil
	}
	return 0, fmt.Errorf("pcap: recorder is told of port %s, which it was not told is connected", p.Name())
}

func (r *Recorder) sent(e *vswitch.Sent) error {
	r.last = e.Seq
	iface, err := r.iface(e.From)
	if err != nil {
		return err
	}
	opts := r.b.options()
	if !e.Simple || len(e.Hits) > 0 || e.Lost != vswitch.NotLost || len(r.changes) > 0 || !r.onTime(e) {
		opts = r.comments(opts, e)
		r.changes = r.changes[:0]
	}
	return r.b.packet(iface, e.At, e.Data, len(e.Data), Outbound, e.Seq, opts)
}

func (r *Recorder) delivered(e *vswitch.Delivered) error {
	iface, err := r.iface(e.Port)
	if err != nil {
		return err
	}
	return r.b.packet(iface, e.Time, e.Data, len(e.Data), Inbound, e.Seq, r.b.options())
}

// onTime reports whether the one copy of a frame that no rule touched arrives
// after both cables' latencies.
func (r *Recorder) onTime(e *vswitch.Sent) bool {
	rc := &e.Receivers[0]
	return rc.Lost == vswitch.NotLost && len(rc.Arrivals) == 1 &&
		rc.Arrivals[0].Sub(e.At) == e.From.Latency()+rc.Port.Latency()
}

// comments appends a comment option per clause of the frame's fate.
func (r *Recorder) comments(opts []byte, e *vswitch.Sent) []byte {
	f := &r.fate
	*f = Fate{Names: f.Names[:0], Faults: f.Faults[:0], Lost: f.Lost[:0], Queued: f.Queued[:0], Changes: r.changes}
	switch {
	case e.Lost != vswitch.NotLost:
		f.Lost = append(f.Lost, Lost{Cause: e.Lost})
	case e.Simple:
	case len(e.Receivers) == 0:
		f.To = ToNone
	case len(e.Receivers) == r.open-1 && r.open == r.ever:
		// Where a port has been closed before, "all" would depend on the place
		// of statistics blocks, which other programs move; names do not.
		f.To = ToAll
	default:
		f.To = ToNames
		for i := range e.Receivers {
			f.Names = append(f.Names, e.Receivers[i].Port.Name())
		}
	}
	for i := range e.Hits {
		f.addHit(&e.Hits[i])
	}
	for i := range e.Receivers {
		rc := &e.Receivers[i]
		name := rc.Port.Name()
		switch rc.Lost {
		case vswitch.NotLost:
			plan := planFor(f, name, e.From.Latency()+rc.Port.Latency())
			if late := plan.late(e.At, rc.Arrivals); late != nil {
				f.Queued = append(f.Queued, Queued{By: late, At: name})
			}
		case vswitch.DroppedByRule:
			// A fault clause says so.
		default:
			f.Lost = append(f.Lost, Lost{Cause: rc.Lost, At: name})
		}
	}
	f.clauses(nil, func(clause []byte) {
		var at int
		opts, at = beginOption(opts, optComment)
		opts = endOption(append(opts, clause...), at)
	})
	return opts
}

// addHit adds the faults that one verdict amounts to.
func (f *Fate) addHit(h *vswitch.Hit) {
	base := Fault{Rule: h.Rule.Number(), Name: h.Rule.Name(), Reason: plainReason(h.Reason)}
	if h.To != nil {
		base.At = h.To.Name()
	}
	add := func(kind FaultKind, set func(*Fault)) {
		ft := base
		ft.Kind = kind
		set(&ft)
		f.Faults = append(f.Faults, ft)
	}
	if h.Drop {
		add(FaultDrop, func(*Fault) {})
	}
	if h.Copies > 0 {
		add(FaultDup, func(ft *Fault) { ft.Copies, ft.Gap = h.Copies, h.Gap })
	}
	if len(h.Edits) > 0 {
		add(FaultCorrupt, func(ft *Fault) { ft.Edits = h.Edits })
	}
	if h.Truncate > 0 {
		add(FaultTruncate, func(ft *Fault) { ft.Size = h.Truncate })
	}
	if h.Pad > 0 {
		add(FaultPad, func(ft *Fault) { ft.Size = h.Pad })
	}
	if h.Delay > 0 {
		add(FaultDelay, func(ft *Fault) { ft.By = h.Delay })
	}
	if h.Behind > 0 {
		add(FaultReorder, func(ft *Fault) { ft.Behind, ft.Within = h.Behind, h.Within })
	}
}

// changed keeps a change for the next frame's comments: a block of its own that
// stock Wireshark shows would be a frame that nobody sent.
func (r *Recorder) changed(e *vswitch.Changed) {
	c := Change{What: e.What, Time: e.Time}
	if e.Rule != nil {
		c.Rule, c.Name = e.Rule.Number(), e.Rule.Name()
	} else {
		c.Port = e.Port.Name()
	}
	r.changes = append(r.changes, c)
}

// plainReason writes bytes that a reason may not have as '_'.
func plainReason(s string) string {
	for i := range len(s) {
		if !plainByte(s[i]) {
			b := []byte(s)
			for j, c := range b {
				if !plainByte(c) {
					b[j] = '_'
				}
			}
			return string(b)
		}
	}
	return s
}

func (r *Recorder) disconnected(e *vswitch.Disconnected) error {
	iface, err := r.iface(e.Port)
	if err != nil {
		return err
	}
	r.open--
	c := PortCounters{Name: e.Port.Name(), Until: r.last, Counters: e.Port.Counters()}
	st := Statistics{
		Time: e.Time, Start: r.ports[e.Port.Number()].since, End: e.Time,
		Received: c.RxFrames, Comments: []string{c.comment()},
	}
	if e.Cut != nil {
		st.Comments = append(st.Comments, cutComment(e.Cut))
	}
	for i := range r.changes {
		st.Comments = append(st.Comments, string(r.changes[i].append(nil)))
	}
	r.changes = r.changes[:0]
	for _, l := range losses {
		st.Dropped += c.RxLost[l]
	}
	return r.b.statistics(iface, &st)
}

// Flush writes what is buffered. A recording may be read up to there.
func (r *Recorder) Flush() error {
	if r.err == nil {
		r.err = r.b.flush()
	}
	return r.err
}

// Close finishes the recording, and the file when [Create] made it. After an
// error of writing it returns that error, and the file keeps its provisional
// name ([Recorder.Written]). Further calls do nothing and return the same.
func (r *Recorder) Close() error {
	if r.closed {
		return r.err
	}
	r.closed = true
	if r.err == nil {
		r.err = r.b.finish()
	}
	if r.file == nil {
		return r.err
	}
	if r.err != nil {
		r.file.Abort()
	} else {
		r.err = r.file.Close()
	}
	return r.err
}

// Written returns the path under which what was written stands now: PATH.partial
// until Close has succeeded, or PATH itself for what is written directly. It is
// empty for a recorder that [Create] did not make.
func (r *Recorder) Written() string {
	if r.file == nil {
		return ""
	}
	return r.file.Written()
}
