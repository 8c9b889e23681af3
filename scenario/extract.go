package scenario

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/vnreplay/vnreplay/faults"
	"github.com/vnreplay/vnreplay/pcap"
	"github.com/vnreplay/vnreplay/switch"
)

// Opener opens a recording. It is called more than once.
type Opener func() (*pcap.Reader, error)

// ExtractFaults turns what the rules of a recorded run did into rules that do
// exactly that again: no seed, no probability, the very frames, counted on each
// cable. Given to the next run of the same scenario in place of its rules, they
// give the same run. Of a run with several switches, it takes the recording of each;
// what was done on a switch whose recording is not given is not among the rules. Each
// recording is read twice.
//
// A rule that acted on several cables, or in several ways, becomes several; they
// keep its name, with a number behind it. Rules that refuse frames inside the
// sender's write are kept as they are: nothing of that is in a recording. Those
// that the scenario's script adds stay there; see [Scenario.SetFaults].
//
// Of recordings that are cut it returns the rules of the frames that are there,
// and a [*pcap.TruncatedError].
func ExtractFaults(recordings ...Opener) ([]string, error) {
	x := &extractor{}
	var cut *pcap.TruncatedError
	for _, open := range recordings {
		// Who was connected when stands at the end of a recording.
		for _, pass := range []func(*pcap.Reader) error{x.readPorts, x.readFaults} {
			r, err := open()
			if err != nil {
				return nil, err
			}
			err = pass(r)
			r.Close()
			if err != nil && !errors.As(err, &cut) {
				return nil, err
			}
		}
	}
	rules, err := x.faults.Rules()
	if err != nil {
		return nil, err
	}
	texts := x.gates
	for _, r := range rules {
		texts = append(texts, r.String())
	}
	if cut != nil {
		return texts, cut
	}
	return texts, nil
}

type extractor struct {
	run    *pcap.Meta      // of the first recording
	of     map[string]bool // the switches whose recordings were read
	ports  []pcap.Interface
	faults faults.Extractor
	gates  []string // rules that refuse frames
}

// sameRun notes that a recording with meta is read, which has to be of the same run as
// the others, and of another switch.
func (x *extractor) sameRun(name string, meta pcap.Meta) (first bool, err error) {
	if x.run == nil {
		x.run, x.of = &meta, map[string]bool{meta.Switch: true}
		return true, nil
	}
	switch {
	case meta.Scenario != x.run.Scenario || meta.Seed != x.run.Seed || !slices.Equal(meta.Rules, x.run.Rules):
		return false, fmt.Errorf("%s: not of the same run as the recording before it", name)
	case x.of[meta.Switch]:
		return false, fmt.Errorf("%s: a second recording of the same switch", name)
	}
	x.of[meta.Switch] = true
	return false, nil
}

func (x *extractor) readPorts(r *pcap.Reader) error {
	meta, ok := r.Meta()
	if !ok || meta.View != "wire" {
		return fmt.Errorf("%s: %w: faults are extracted from what vnreplay run wrote", r.Name(), pcap.ErrNotRecording)
	}
	first, err := x.sameRun(r.Name(), meta)
	if err != nil {
		return err
	}
	if first {
		x.keepGates(meta)
	}
	for _, err := range r.Packets() {
		if err != nil && !errors.As(err, new(*pcap.TruncatedError)) {
			return err
		}
	}
	x.ports = r.Interfaces()
	if s, err := ParseEmbedded(meta.Scenario, "", meta.Rules); err == nil { // other recordings have none
		if _, err := s.switchIn(meta, x.ports); err != nil {
			return fmt.Errorf("%s: %w", r.Name(), err)
		}
	}
	return nil
}

// keepGates keeps the rules that refuse frames.
func (x *extractor) keepGates(meta pcap.Meta) {
	for _, text := range meta.Rules {
		if rule, err := faults.Parse(text); err == nil && rule.Refuses() {
			x.gates = append(x.gates, text)
			x.faults.Taken(rule.Name())
		}
	}
	if s, err := ParseEmbedded(meta.Scenario, "", meta.Rules); err == nil {
		for _, step := range s.Script {
			if rule := step.addsGate(); rule != nil {
				x.faults.Taken(rule.Name())
			}
		}
	}
}

func (x *extractor) readFaults(r *pcap.Reader) error {
	for {
		p, err := r.Next()
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
		fate, err := pcap.ParseFate(p.Comments)
		if err != nil {
			return fmt.Errorf("%s: frame %d: %w", r.Name(), p.Number, err)
		}
		x.frame(p, &fate)
	}
}

// kindOf are the words of a recording for what rules do.
var kindOf = map[pcap.FaultKind]faults.Kind{
	pcap.FaultDrop: faults.Dropped, pcap.FaultDup: faults.Duplicated, pcap.FaultCorrupt: faults.Corrupted,
	pcap.FaultTruncate: faults.Truncated, pcap.FaultPad: faults.Padded, pcap.FaultDelay: faults.Delayed,
	pcap.FaultReorder: faults.Reordered,
}

// frame tells the extractor of one frame about which rules were asked, and what
// they did.
func (x *extractor) frame(p *pcap.Packet, fate *pcap.Fate) {
	for _, l := range fate.Lost {
		if l.At == "" && l.Cause != vswitch.LostReserved {
			return // it never reached the rules
		}
	}
	x.faults.Frame(x.ports[p.Interface].Name, x.receivers(p, fate))
	for i := range fate.Faults {
		f := &fate.Faults[i]
		x.faults.Did(faults.Decision{
			Rule: f.Rule, Name: f.Name, To: f.At, Kind: kindOf[f.Kind],
			Edits: f.Edits, Size: f.Size, Copies: f.Copies, Gap: f.Gap, By: f.By, Behind: f.Behind, Within: f.Within,
		})
	}
}

// receivers are the ports to which the switch forwarded a frame.
func (x *extractor) receivers(p *pcap.Packet, fate *pcap.Fate) (names []string) {
	switch fate.To {
	case pcap.ToNames:
		return fate.Names
	case pcap.ToNone:
		return nil
	}
	for i := range x.ports {
		port := &x.ports[i]
		there := p.ID == 0 || p.ID > port.Port.After &&
			(port.Stats == nil || !port.Stats.IsPort || p.ID <= port.Stats.Port.Until)
		switch {
		case !port.IsPort || i == p.Interface || !there:
		case fate.To == pcap.ToAll, len(p.Data) >= 6 && port.Port.MAC == vswitch.MAC(p.Data[:6]):
			names = append(names, port.Name)
		}
	}
	return names
}

// ReadFaults is [Scenario.SetFaults] with the rules of a text, one a line; lines
// that are empty or begin with # are none. name is what errors call it; they are
// [*Error].
func (s *Scenario) ReadFaults(text []byte, name string) error {
	lines := strings.Split(string(withoutMark(text)), "\n")
	var texts []string
	var numbers []int // of the lines
	for i, line := range lines {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			texts, numbers = append(texts, line), append(numbers, i)
		}
	}
	if len(texts) > MaxFaults {
		return &Error{File: name, Msg: fmt.Sprintf("%d fault rules, at most %d", len(texts), MaxFaults)}
	}
	e := s.setFaults(texts)
	if e == nil {
		return nil
	}
	out := &Error{File: name, Msg: e.Error(), err: e.err}
	if i, err := strconv.Atoi(e.path[len(e.path)-1]); err == nil && i < len(numbers) {
		out.line = strings.TrimRight(lines[numbers[i]], "\r")
		indent := utf8.RuneCountInString(out.line) - utf8.RuneCountInString(strings.TrimLeftFunc(out.line, unicode.IsSpace))
		out.Line, out.Column = numbers[i]+1, indent+max(e.column, 1)
	}
	return out
}

// SetFaults puts rules in place of the scenario's. Expectations about rules that
// are gone go with them, as does what the script does to rules: the new ones are
// what is to happen. Only rules that refuse frames to their senders are still
// added, turned on and off. On an error nothing is changed.
func (s *Scenario) SetFaults(texts []string) error {
	if e := s.setFaults(texts); e != nil {
		return e.err
	}
	return nil
}

func (s *Scenario) setFaults(texts []string) *pathError {
	before := s.Faults
	s.Faults = slices.Clone(texts)
	if e := s.checkFaults(); e != nil {
		s.Faults = before
		return e
	}
	gates := map[string]bool{}
	for _, text := range s.Faults {
		if r, err := faults.Parse(text); err == nil && r.Refuses() {
			gates[r.Name()] = true
		}
	}
	for i := range s.Script {
		if r := s.Script[i].addsGate(); r != nil {
			gates[r.Name()] = true
		}
	}
	s.Script = slices.DeleteFunc(slices.Clone(s.Script), func(t Step) bool {
		return t.Add != "" && t.addsGate() == nil || slices.ContainsFunc([]string{t.On, t.Off, t.Remove}, func(name string) bool {
			return name != "" && !gates[name]
		})
	})
	if s.Expect != nil {
		index := s.ruleIndex(s.Expect)
		s.Expect.Faults = slices.DeleteFunc(s.Expect.Faults, func(x Entry[CountRange]) bool { return index(x.Name) < 0 })
		if len(s.Expect.Faults) == 0 {
			s.Expect.Faults = nil // as it is read back
		}
	}
	return nil
}
