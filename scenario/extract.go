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

// ExtractFaults turns what the rules of a recorded run did into rules that do
// exactly that again: no seed, no probability, the very frames, counted on each
// cable. Given to the next run of the same scenario in place of its rules, they
// give the same run. open opens the recording; it is read twice.
//
// A rule that acted on several cables, or changed frames in several ways, becomes
// several; they keep its name, with a number behind it.
//
// Of a recording that is cut it returns the rules of the frames that are there,
// and a [*pcap.TruncatedError].
func ExtractFaults(open func() (*pcap.Reader, error)) ([]string, error) {
	x := &extractor{groups: map[faultKey]*faultGroup{}, counts: map[cable]uint64{}}
	// Who was connected when stands at the end of a recording.
	var cut *pcap.TruncatedError
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
	rules, err := x.rules()
	if err == nil && cut != nil {
		err = cut
	}
	return rules, err
}

// cable is a path as faults count on it: from a port to a port, or to the switch.
type cable struct{ from, to string }

// faultKey tells apart what must become rules of their own.
type faultKey struct {
	rule  int
	name  string
	what  string // "drop", "duplicate"
	tail  string // the options: "copies 2 gap 1ms"
	cable cable
}

type faultGroup struct {
	key    faultKey
	places []uint64
}

type extractor struct {
	ports  []pcap.Interface
	groups map[faultKey]*faultGroup
	order  []*faultGroup
	counts map[cable]uint64
}

func (x *extractor) readPorts(r *pcap.Reader) error {
	meta, ok := r.Meta()
	if !ok || meta.View != "wire" {
		return fmt.Errorf("%s: %w: faults are extracted from what vnreplay run wrote", r.Name(), pcap.ErrNotRecording)
	}
	for _, err := range r.Packets() {
		if err != nil && !errors.As(err, new(*pcap.TruncatedError)) {
			return err
		}
	}
	x.ports = r.Interfaces()
	return nil
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
		if err := x.frame(p, &fate); err != nil {
			return fmt.Errorf("%s: frame %d: %w", r.Name(), p.Number, err)
		}
	}
}

// frame counts one frame on the cables on which rules were asked about it, and
// takes down what they did.
func (x *extractor) frame(p *pcap.Packet, fate *pcap.Fate) error {
	from := x.ports[p.Interface].Name
	for _, l := range fate.Lost {
		if l.At == "" && l.Cause != vswitch.LostReserved {
			return nil // it never reached the rules
		}
	}
	x.counts[cable{from, ""}]++
	for _, to := range x.receivers(p, fate) {
		x.counts[cable{from, to}]++
	}
	for i := range fate.Faults {
		f := &fate.Faults[i]
		key := faultKey{rule: f.Rule, name: f.Name, cable: cable{from, f.At}}
		switch f.Kind {
		case pcap.FaultDrop:
			key.what = "drop"
		case pcap.FaultDup:
			key.what, key.tail = "duplicate", fmt.Sprintf("copies %d gap %v", f.Copies, Duration(f.Gap))
		case pcap.FaultCorrupt:
			var edits []string
			for _, e := range f.Edits {
				edits = append(edits, fmt.Sprintf("@%d:%x>%x", e.Offset, e.Old, e.New))
			}
			key.what, key.tail = "corrupt", strings.Join(edits, ",")
		default:
			return fmt.Errorf("rule %d: %v is not something a rule can repeat exactly", f.Rule, f.Kind)
		}
		g := x.groups[key]
		if g == nil {
			g = &faultGroup{key: key}
			x.groups[key] = g
			x.order = append(x.order, g)
		}
		g.places = append(g.places, x.counts[key.cable])
	}
	return nil
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

// rules writes the groups as rules, in the order of the rules that acted.
func (x *extractor) rules() ([]string, error) {
	slices.SortStableFunc(x.order, func(a, b *faultGroup) int { return a.key.rule - b.key.rule })
	parts := map[int]int{} // how many rules one becomes
	for _, g := range x.order {
		parts[g.key.rule]++
	}
	used := map[string]bool{}
	var texts []string
	number := map[int]int{}
	for _, g := range x.order {
		number[g.key.rule]++
		name := g.key.name
		if name != "" && parts[g.key.rule] > 1 {
			name += "-" + strconv.Itoa(number[g.key.rule])
		}
		text := strings.Join(strings.Fields(fmt.Sprintf("%s nth %s %s from %s", g.key.what, ranges(g.places), g.key.tail, g.key.cable.from)), " ")
		if g.key.cable.to != "" {
			text += " to " + g.key.cable.to
		}
		if name != "" && !used[name] {
			used[name] = true
			text = name + ": " + text
		}
		r, err := faults.Parse(text)
		if err != nil {
			return nil, fmt.Errorf("rule %d of the recording: %w", g.key.rule, err)
		}
		texts = append(texts, r.String())
	}
	return texts, nil
}

// ranges writes ascending numbers as 3,17..19.
func ranges(n []uint64) string {
	var parts []string
	for i := 0; i < len(n); {
		j := i
		for j+1 < len(n) && n[j+1] <= n[j]+1 {
			j++
		}
		s := strconv.FormatUint(n[i], 10)
		if n[j] > n[i] {
			s += ".." + strconv.FormatUint(n[j], 10)
		}
		parts = append(parts, s)
		i = j + 1
	}
	return strings.Join(parts, ",")
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
// are gone go with them. On an error nothing is changed.
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
	if s.Expect != nil {
		index := s.ruleIndex(s.Expect)
		s.Expect.Faults = slices.DeleteFunc(s.Expect.Faults, func(x Entry[CountRange]) bool { return index(x.Name) < 0 })
		if len(s.Expect.Faults) == 0 {
			s.Expect.Faults = nil // as it is read back
		}
	}
	return nil
}
