package faults

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/vnreplay/vnreplay/switch"
)

// Kind is what was done to a frame, in the word that stands behind "fault=" in a
// recording.
type Kind string

// The kinds that rules can do again.
const (
	Dropped    Kind = "drop"
	Duplicated Kind = "dup"
	Corrupted  Kind = "corrupt"
)

// Decision is one thing that a rule did to one frame on one cable.
type Decision struct {
	// Rule is the number of the rule that did it; effects compose in this order.
	Rule int
	// From is the port that sent the frame. To is the receiver on whose cable it
	// was done, or "" for the sender's cable.
	From, To string
	// Place is the frame's place, from 1, among all frames about which rules were
	// asked on that path. An [Extractor] fills it in.
	Place uint64

	Kind   Kind
	Copies int            // of Duplicated
	Gap    time.Duration  // of Duplicated
	Edits  []vswitch.Edit // of Corrupted
}

// Extract returns rules that do exactly what was done, without a seed and
// without drawing: for each path, by the places of the frames. Applied to the
// same frames they give the same deliveries, since they keep the order in which
// effects compose. Lists that would be unreadable are split over several rules.
//
// An error says which decision cannot be written as a rule.
func Extract(decisions []Decision) ([]*Rule, error) {
	sorted := slices.Clone(decisions)
	slices.SortStableFunc(sorted, func(a, b Decision) int {
		// One rule acts on the sender's cable before the receivers'.
		return cmp.Or(cmp.Compare(a.Rule, b.Rule), cmp.Compare(min(len(a.To), 1), min(len(b.To), 1)))
	})
	type group struct {
		rule Rule // without its often
		list []span
	}
	var groups []*group // in order of appearance
	type groupKey struct {
		rule int
		text string
	}
	byKey := make(map[groupKey]*group)
	type deed struct {
		rule     int
		from, to string
		place    uint64
		kind     Kind
	}
	done := make(map[deed]bool)
	for i := range sorted {
		d := &sorted[i]
		id := deed{d.Rule, d.From, d.To, d.Place, d.Kind}
		if done[id] {
			return nil, d.errorf("it is there twice")
		}
		done[id] = true
		r, err := d.alone()
		if err != nil {
			return nil, err
		}
		if r == nil {
			continue
		}
		key := groupKey{d.Rule, r.text()}
		g := byKey[key]
		if g == nil {
			g = &group{rule: *r}
			byKey[key] = g
			groups = append(groups, g)
		}
		g.list = append(g.list, span{d.Place, d.Place})
	}

	var rules []*Rule
	for _, g := range groups {
		const inOneRule = 100 // ranges: some 600 characters
		for spans := range slices.Chunk([]span(normalSpans(g.list)), inOneRule) {
			r := g.rule
			r.often = nth(spans)
			rules = append(rules, &r)
		}
	}
	return rules, nil
}

// alone returns the rule for d, still without a frequency, or nil if d changes
// nothing.
func (d *Decision) alone() (*Rule, error) {
	if d.Place < 1 || d.Place > maxNumber {
		return nil, d.errorf("places count from 1 to %d", uint64(maxNumber))
	}
	if d.From == "" || d.From == everyPort || d.To == everyPort {
		return nil, d.errorf("it names no single port")
	}
	r := &Rule{often: always{}, where: where{from: d.From, to: d.To}}
	switch d.Kind {
	case Dropped:
		r.what = drop{}
	case Duplicated:
		if d.Copies < 1 || d.Copies > maxCopies || d.Gap < 0 || d.Gap > maxGap {
			return nil, d.errorf("a rule makes 1 to %d copies, at most %s apart; these are %d, %v apart",
				maxCopies, formatDuration(maxGap), d.Copies, d.Gap)
		}
		r.what = &duplicate{copies: d.Copies, gap: d.Gap}
	case Corrupted:
		patches, err := d.patches()
		if err != nil || patches == nil {
			return nil, err
		}
		r.what = &corrupt{patches: patches}
	default:
		return nil, d.errorf("there is no rule that does %q", d.Kind)
	}
	// The names of ports may come from anybody's file.
	again, err := Parse(r.text())
	if err != nil {
		return nil, d.errorf("it cannot be written as a rule: %w", err)
	}
	if again.where != r.where {
		return nil, d.errorf("it cannot be written as a rule: the ports' names have spaces")
	}
	return r, nil
}

// patches returns what the edits, applied one after the other, come to.
func (d *Decision) patches() ([]patch, error) {
	byOffset := make(map[int]change)
	for _, e := range d.Edits {
		if len(e.Old) != len(e.New) || e.Offset < 0 || e.Offset+len(e.New) > maxOffset+1 {
			return nil, d.errorf("%d bytes at offset %d become %d; want as many, inside a frame", len(e.Old), e.Offset, len(e.New))
		}
		for i := range e.New {
			c, again := byOffset[e.Offset+i]
			if !again {
				c = change{offset: e.Offset + i, from: e.Old[i]}
			}
			c.to = e.New[i]
			byOffset[c.offset] = c
		}
	}
	changes := make([]change, 0, len(byOffset))
	for _, c := range byOffset {
		changes = append(changes, c)
	}
	slices.SortFunc(changes, func(a, b change) int { return a.offset - b.offset })
	var patches []patch
	for _, e := range editsOf(changes) {
		patches = append(patches, patch{offset: e.Offset, how: ':', old: e.Old, value: e.New})
	}
	return patches, nil
}

func (d *Decision) errorf(format string, args ...any) error {
	cable := "the sender's cable"
	if d.To != "" {
		cable = fmt.Sprintf("the cable to %q", d.To)
	}
	return fmt.Errorf("extracting fault %q of rule %d, frame %d from %q on %s: %w",
		d.Kind, d.Rule, d.Place, d.From, cable, fmt.Errorf(format, args...))
}

// Extractor gives decisions their places while somebody reads a recording from
// its start. The zero Extractor is ready.
type Extractor struct {
	frames    map[[2]string]uint64
	from      string
	decisions []Decision
}

// Frame is told of every frame about which rules were asked, in the order in
// which the frames entered the switch, whatever became of them: all but those
// that were lost on the sender's cable to a full queue or because it was down.
// receivers are the ports to which the switch forwarded it.
func (x *Extractor) Frame(from string, receivers []string) {
	if x.frames == nil {
		x.frames = make(map[[2]string]uint64)
	}
	x.from = from
	x.frames[[2]string{from, ""}]++
	for _, to := range receivers {
		x.frames[[2]string{from, to}]++
	}
}

// Did is told what was done to the frame given last. It sets From and Place.
func (x *Extractor) Did(d Decision) {
	d.From = x.from
	d.Place = x.frames[[2]string{d.From, d.To}]
	x.decisions = append(x.decisions, d)
}

// Rules returns the rules that do it all again; see [Extract].
func (x *Extractor) Rules() ([]*Rule, error) { return Extract(x.decisions) }
