package faults

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vnreplay/vnreplay/switch"
)

// Kind is what was done to a frame, in the word that stands behind "fault=" in a
// recording.
type Kind string

// The kinds that rules can do again, in the order in which those of one rule on
// one cable are done.
const (
	Corrupted  Kind = "corrupt"
	Truncated  Kind = "truncate"
	Padded     Kind = "pad"
	Duplicated Kind = "dup"
	Delayed    Kind = "delay"
	Reordered  Kind = "reorder"
	Dropped    Kind = "drop"
)

var kindOrder = []Kind{Corrupted, Truncated, Padded, Duplicated, Delayed, Reordered, Dropped}

// Decision is one thing that a rule did to one frame on one cable.
type Decision struct {
	// Rule is the number of the rule that did it; effects compose in this order.
	// Name is its name, or "".
	Rule int
	Name string
	// From is the port that sent the frame. To is the receiver on whose cable it
	// was done, or "" for the sender's cable.
	From, To string
	// Place is the frame's place, from 1, among all frames about which rules were
	// asked on that path. An [Extractor] fills it in.
	Place uint64

	Kind   Kind
	Edits  []vswitch.Edit // of Corrupted
	Size   int            // of Truncated: the bytes left; of Padded: the bytes added
	Copies int            // of Duplicated
	Gap    time.Duration  // of Duplicated
	By     time.Duration  // of Delayed
	Behind int            // of Reordered
	Within time.Duration  // of Reordered
}

// Extract returns rules that do exactly what was done, without a seed and
// without drawing: for each path, by the places of the frames. Applied to the
// same frames they give the same deliveries, since they keep the order in which
// effects compose. What is too long to read is split over several rules. They
// have the names of the rules that did it, numbered where one becomes several,
// where these are names of the rules' language.
//
// An error says which decision cannot be written as a rule.
func Extract(decisions []Decision) ([]*Rule, error) { return extract(decisions, nil) }

// extract is Extract, with names that the rules must not have.
func extract(decisions []Decision, taken []string) ([]*Rule, error) {
	sorted := slices.Clone(decisions)
	slices.SortStableFunc(sorted, func(a, b Decision) int {
		// One rule acts on the sender's cable before the receivers'.
		return cmp.Or(cmp.Compare(a.Rule, b.Rule), cmp.Compare(min(len(a.To), 1), min(len(b.To), 1)),
			cmp.Compare(slices.Index(kindOrder, a.Kind), slices.Index(kindOrder, b.Kind)))
	})
	sorted, err := joinEdits(sorted)
	if err != nil {
		return nil, err
	}
	var groups []*group // in order of appearance
	type groupKey struct {
		rule int
		text string
	}
	byKey := make(map[groupKey]*group)
	for i := range sorted {
		d := &sorted[i]
		r, err := d.alone()
		if err != nil {
			return nil, err
		}
		if r == nil {
			continue
		}
		key := groupKey{d.Rule, r.text()}
		if d.Kind == Delayed {
			key.text = strings.Join(append(r.where.text(), "delayed"), " ") // by whatever
		}
		g := byKey[key]
		if g == nil {
			g = &group{number: d.Rule, name: d.Name, rule: *r}
			byKey[key] = g
			groups = append(groups, g)
		}
		g.places = append(g.places, placeDelay{d.Place, d.By})
	}
	var rules []*Rule
	var numbers []int
	for _, g := range groups {
		for _, r := range g.rules() {
			rules = append(rules, r)
			numbers = append(numbers, g.number)
		}
	}
	nameParts(rules, numbers, taken)
	return rules, nil
}

// joinEdits puts together what a recording tells in several clauses of the
// changed bytes of one frame. Anything else is done once.
func joinEdits(sorted []Decision) ([]Decision, error) {
	type deed struct {
		rule     int
		from, to string
		place    uint64
		kind     Kind
	}
	done := make(map[deed]int) // its index in the result
	var out []Decision
	for i := range sorted {
		d := &sorted[i]
		id := deed{d.Rule, d.From, d.To, d.Place, d.Kind}
		k, again := done[id]
		switch {
		case !again:
			done[id] = len(out)
			out = append(out, *d)
		case d.Kind == Corrupted:
			out[k].Edits = slices.Concat(out[k].Edits, d.Edits)
		default:
			return nil, d.errorf("it is there twice")
		}
	}
	return out, nil
}

// group is what becomes one kind of rules: the places of frames to which the same
// was done on one path; of delays, with the times.
type group struct {
	number int
	name   string
	rule   Rule // without its often
	places []placeDelay
}

const (
	inOneList = 100  // ranges: some 600 characters
	inOnePlan = 2000 // places with times: at most 60,000
	// fewTimes is how many delays are written as rules of their own.
	fewTimes = 4
)

// rules writes the group as rules.
func (g *group) rules() (rules []*Rule) {
	add := func(what action, often frequency) {
		r := g.rule
		r.name, r.what, r.often = g.name, what, often
		rules = append(rules, &r)
	}
	lists := func(what action, places []placeDelay) {
		var spans []span
		for _, p := range places {
			spans = append(spans, span{p.place, p.place})
		}
		for part := range slices.Chunk([]span(normalSpans(spans)), inOneList) {
			add(what, nth(slices.Clone(part)))
		}
	}
	if _, ok := g.rule.what.(*delay); !ok {
		lists(g.rule.what, g.places)
		return rules
	}
	var times []time.Duration // in order of appearance
	byTime := make(map[time.Duration][]placeDelay)
	for _, p := range g.places {
		if byTime[p.by] == nil {
			times = append(times, p.by)
		}
		byTime[p.by] = append(byTime[p.by], p)
	}
	if len(times) <= fewTimes && slices.Max(times) <= maxLate {
		for _, t := range times {
			lists(newDelay(t), byTime[t])
		}
		return rules
	}
	for part := range slices.Chunk(g.places, inOnePlan) {
		a := newDelay(0)
		a.places = slices.Clone(part)
		slices.SortFunc(a.places, func(x, y placeDelay) int { return comparePlaces(x.place, y.place) })
		add(a, always{})
	}
	return rules
}

// nameParts numbers the names of rules that are parts of one, and takes names
// away that are not usable, used, or taken.
func nameParts(rules []*Rule, numbers []int, taken []string) {
	parts := map[int]int{}
	for _, n := range numbers {
		parts[n]++
	}
	used := map[string]bool{}
	for _, name := range taken {
		used[name] = true
	}
	part := map[int]int{}
	for i, r := range rules {
		part[numbers[i]]++
		name := r.name
		r.name = ""
		if name != "" && parts[numbers[i]] > 1 {
			name += "-" + strconv.Itoa(part[numbers[i]])
		}
		if name == "" || used[name] {
			continue
		}
		if again, err := Parse(name + ": drop"); err == nil && again.name == name {
			used[name], r.name = true, name
		}
	}
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
	r := &Rule{often: always{}, where: where{from: d.From, to: d.To, vlan: anyVLAN}}
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
	case Truncated:
		if d.Size < vswitch.HeaderLen || d.Size > maxFrameLen {
			return nil, d.errorf("a rule leaves %d to %d bytes of a frame, not %d", vswitch.HeaderLen, maxFrameLen, d.Size)
		}
		r.what = &truncate{d.Size}
	case Padded:
		if d.Size < 1 || d.Size > maxPad {
			return nil, d.errorf("a rule adds 1 to %d bytes, not %d", maxPad, d.Size)
		}
		r.what = &pad{d.Size, d.Size}
	case Delayed:
		if d.By <= 0 || d.By > vswitch.MaxDelay {
			return nil, d.errorf("a rule delays by more than nothing, at most %s, not %v", formatDuration(vswitch.MaxDelay), d.By)
		}
		a := newDelay(0)
		a.places = []placeDelay{{d.Place, d.By}}
		r.what = a
	case Reordered:
		if d.Behind < 1 || d.Behind > maxBehind || d.Within <= 0 || d.Within > maxLate {
			return nil, d.errorf("a rule holds a frame behind 1 to %d others, at most %s, not %d within %v",
				maxBehind, formatDuration(maxLate), d.Behind, d.Within)
		}
		a, _ := startReorder()
		a.(*reorder).behind, a.(*reorder).within = d.Behind, d.Within
		r.what = a
	default:
		return nil, d.errorf("there is no rule that does %q", d.Kind)
	}
	// The names of ports may come from anybody's file.
	again, err := Parse(r.text())
	if err != nil {
		return nil, d.errorf("it cannot be written as a rule: %w", err)
	}
	if again.from != r.from || again.to != r.to {
		return nil, d.errorf("it cannot be written as a rule: the ports' names have spaces")
	}
	return r, nil
}

// newDelay returns a delay of all frames by the same time.
func newDelay(by time.Duration) *delay {
	what, _ := startDelay()
	a := what.(*delay)
	a.mean = by
	return a
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
	taken     []string
}

// Taken keeps a name from the rules: one beside them has it.
func (x *Extractor) Taken(name string) { x.taken = append(x.taken, name) }

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
func (x *Extractor) Rules() ([]*Rule, error) { return extract(x.decisions, x.taken) }
