package faults

import (
	"slices"
	"strings"
	"time"
)

// Bursts: how often a rule hits depends on the state of a chain, which goes from
// state to state at random. Each path has its own.

// gilbert is the Gilbert-Elliott model with the parameters of netem's "loss
// gemodel": Gilbert 1960, Elliott 1963; Hasslinger and Hohlfeld, "The
// Gilbert-Elliott Model for Packet Loss in Real Time Services on the Internet",
// 2008, has the names of the parameters.
type gilbert struct {
	p, r      ratio // from good to bad, and back, after each frame
	bad, good ratio // hit in the state: 1-h and 1-k
	chain     *markov
}

// parseGilbert reads "gemodel p [r [1-h [1-k]]]".
func parseGilbert(p *parser, word token) (frequency, error) {
	t, err := p.want(word.text, "the probability of going from the good state to the bad one: gemodel 1% 25%")
	if err != nil {
		return nil, err
	}
	g := gilbert{bad: ratio{1, 1}, good: ratio{0, 1}}
	if g.p, err = p.ratio(t); err != nil {
		return nil, err
	}
	g.r = ratio{g.p.den - g.p.num, g.p.den}
	for _, x := range []*ratio{&g.r, &g.bad, &g.good} {
		if t := p.peek(); t.atEnd() || !isDigit(t.text[0]) || !strings.ContainsAny(t.text, "%‰/") {
			break
		}
		if *x, err = p.ratio(p.next()); err != nil {
			return nil, err
		}
	}
	g.chain = &markov{
		states: []state{{name: "good", hit: g.good}, {name: "bad", hit: g.bad}},
		edges:  []edge{{0, 1, g.p}, {1, 0, g.r}},
	}
	g.chain.prepare()
	return g, nil
}

func (g gilbert) text() string {
	parts := []string{"gemodel", g.p.String(), g.r.String(), g.bad.String(), g.good.String()}
	switch {
	case g.good.num != 0:
	case !g.bad.isOne():
		parts = parts[:4]
	case g.r != (ratio{g.p.den - g.p.num, g.p.den}):
		parts = parts[:3]
	default:
		parts = parts[:2]
	}
	return strings.Join(parts, " ")
}

func (gilbert) draws() bool            { return false }
func (g gilbert) never() bool          { return g.chain.never() }
func (g gilbert) hits(s *subject) bool { return g.chain.hits(s) }

// markov is a chain of any number of named states, as wirefilter of VDE has them.
// In each state a frame is hit with the state's probability.
type markov struct {
	name   string // of the chain: rules with the same chain are in the same states
	states []state
	edges  []edge // in order of (from, to)
	step   time.Duration
}

type state struct {
	name string
	hit  ratio

	below uint64 // hit's threshold
	// The ways out: the draw falls below the threshold of the first one taken.
	out []exit
}

type edge struct {
	from, to int
	p        ratio
}

type exit struct {
	below uint64
	all   bool // a probability of 1
	to    int
}

const (
	maxStates = 64
	minStep   = time.Millisecond
	// restart is after how many steps of time a chain begins again in its first
	// state, so that a long silence costs no more than that.
	restart = 1 << 20
)

const markovHint = "a chain is written good=0% bad=40% good>bad=1% bad>good=25%: how often in each state, and from which to which"

// parseMarkov reads "markov [NAME] STATE=P ... FROM>TO=P ... [step TIME]".
func parseMarkov(p *parser, word token) (frequency, error) {
	m := &markov{}
	if t := p.peek(); !t.atEnd() && !strings.Contains(t.text, "=") {
		name, err := p.stateName(p.next())
		if err != nil {
			return nil, err
		}
		m.name = name
	}
	var edges []token
	for {
		t := p.peek()
		if !strings.Contains(t.text, "=") || t.quoted || t.text[0] == '@' {
			break
		}
		p.next()
		left, right, _ := strings.Cut(t.text, "=")
		if strings.Contains(left, ">") {
			edges = append(edges, t) // when all states are known
			continue
		}
		name, err := p.stateName(t.part(0, len(left)))
		if err != nil {
			return nil, err
		}
		if m.find(name) >= 0 {
			return nil, p.errorf(t, "a second state %q", name)
		}
		if len(m.states) == maxStates {
			return nil, p.errorf(t, "at most %d states", maxStates)
		}
		hit, err := p.ratio(t.part(len(t.text)-len(right), len(t.text)))
		if err != nil {
			return nil, err
		}
		m.states = append(m.states, state{name: name, hit: hit})
	}
	if len(m.states) == 0 {
		return nil, p.errorf(p.peek(), "%s", markovHint)
	}
	for _, t := range edges {
		if err := m.parseEdge(p, t); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(m.edges, func(a, b edge) int { return (a.from-b.from)*maxStates + a.to - b.to })
	if p.peek().text == "step" {
		word := p.next()
		t, err := p.want(word.text, "the time between two steps of the chain, such as 100ms")
		if err != nil {
			return nil, err
		}
		if m.step, err = p.duration(t, "the time between two steps", maxTime); err != nil {
			return nil, err
		}
		if m.step < minStep {
			return nil, p.errorf(t, "the time between two steps is at least %s", formatDuration(minStep))
		}
	}
	if i := m.prepare(); i >= 0 {
		return nil, p.errorf(word, "the ways out of state %q have more than 100%% together", m.states[i].name)
	}
	return m, nil
}

// parseEdge reads "good>bad=1%".
func (m *markov) parseEdge(p *parser, t token) error {
	left, right, _ := strings.Cut(t.text, "=")
	from, to, _ := strings.Cut(left, ">")
	e := edge{}
	for _, end := range []struct {
		index *int
		name  string
		at    int
	}{{&e.from, from, 0}, {&e.to, to, len(from) + 1}} {
		var names []string
		for _, s := range m.states {
			names = append(names, s.name)
		}
		if *end.index = m.find(end.name); *end.index < 0 {
			return p.errorf(t.part(end.at, end.at+len(end.name)), "no such state; there is %s%s", oneOf(names), didYouMean(end.name, names))
		}
	}
	if e.from == e.to {
		return p.errorf(t, "a chain stays where it is with what the ways out leave")
	}
	if slices.ContainsFunc(m.edges, func(x edge) bool { return x.from == e.from && x.to == e.to }) {
		return p.errorf(t, "a second way from %s to %s", from, to)
	}
	var err error
	if e.p, err = p.ratio(t.part(len(t.text)-len(right), len(t.text))); err == nil && e.p.num > 0 {
		m.edges = append(m.edges, e)
	}
	return err
}

// stateName reads the name of a state or a chain.
func (p *parser) stateName(t token) (string, error) {
	if slices.Contains(reserved, t.text) {
		return "", p.errorf(t, "a word of the rules' language cannot be a name here; %s", markovHint)
	}
	if t.text == "" || strings.Trim(t.text, nameChars) != "" || !strings.ContainsRune(letters, rune(t.text[0])) {
		return "", p.errorf(t, "%s", markovHint)
	}
	return t.text, nil
}

func (m *markov) find(name string) int {
	return slices.IndexFunc(m.states, func(s state) bool { return s.name == name })
}

// prepare computes thresholds. It returns a state whose ways out are more than
// one can take, or -1.
func (m *markov) prepare() int {
	for i := range m.states {
		m.states[i].below = m.states[i].hit.threshold()
	}
	for _, e := range m.edges {
		s := &m.states[e.from]
		x := exit{to: e.to, all: e.p.isOne(), below: e.p.threshold()}
		if n := len(s.out); n > 0 {
			before := s.out[n-1]
			sum := before.below + x.below
			if before.all || x.all || sum < before.below {
				return e.from
			}
			x.below = sum
		}
		s.out = append(s.out, x)
	}
	return -1
}

func (m *markov) text() string {
	parts := []string{"markov"}
	if m.name != "" {
		parts = append(parts, m.name)
	}
	for _, s := range m.states {
		parts = append(parts, s.name+"="+s.hit.String())
	}
	for _, e := range m.edges {
		parts = append(parts, m.states[e.from].name+">"+m.states[e.to].name+"="+e.p.String())
	}
	if m.step > 0 {
		parts = append(parts, "step", formatDuration(m.step))
	}
	return strings.Join(parts, " ")
}

func (*markov) draws() bool { return false }

// never looks whether any state to which ways lead from the first one hits.
func (m *markov) never() bool {
	reached := []int{0}
	for i := 0; i < len(reached); i++ {
		from := reached[i]
		if m.states[from].hit.num != 0 {
			return false
		}
		for _, e := range m.edges {
			if e.from == from && e.p.num != 0 && !slices.Contains(reached, e.to) {
				reached = append(reached, e.to)
			}
		}
	}
	return true
}

// Draws of a chain: word(0) of a frame's place decides whether it is hit, word(1)
// of the place, or of the step, where the chain goes then.
func (m *markov) hits(s *subject) bool {
	p := s.path
	d := draw{key: p.chain, index: s.place()}
	if m.step > 0 {
		p.state, p.steps = m.at(p.chain, p.state, p.steps, uint64(s.at/m.step))
	}
	st := &m.states[p.state]
	hit := st.hit.isOne() || st.below != 0 && d.word(0) < st.below
	if m.step == 0 && st.leaves(p, d.index) {
		if next := m.next(p.state, d.word(1)); next != p.state {
			p.state, p.exit = next, ahead{}
		}
	}
	return hit
}

// soon is the threshold of a state that is left so soon that it is no use to know
// much ahead: one in 16.
const soon = 1 << 60

// leaves reports whether the chain may leave the state after the frame at this place.
func (st *state) leaves(p *path, place uint64) bool {
	if len(st.out) == 0 {
		return false
	}
	last := &st.out[len(st.out)-1]
	if last.all || last.below > soon {
		return true // or not: next looks
	}
	return p.exit.falls(p.chain, 0, place, 1, last.below)
}

// at is the state after so many steps, given that after some fewer.
func (m *markov) at(key sipKey, state int, steps, want uint64) (int, uint64) {
	if begin := want / restart * restart; steps < begin {
		state, steps = 0, begin
	}
	for steps < want {
		steps++
		d := draw{key: key, index: steps}
		state = m.next(state, d.word(1))
	}
	return state, steps
}

// next is the state after one step.
func (m *markov) next(from int, word uint64) int {
	for _, x := range m.states[from].out {
		if x.all || word < x.below {
			return x.to
		}
	}
	return from
}

func (g gilbert) says() string {
	return "in bursts: " + g.bad.String() + " in the bad state and " + g.good.String() + " in the good one, which it starts in; " +
		"after each frame from good to bad with " + g.p.String() + ", back with " + g.r.String()
}

func (m *markov) says() string {
	var states, ways []string
	for _, s := range m.states {
		states = append(states, s.hit.String()+" in state "+s.name)
	}
	for _, e := range m.edges {
		ways = append(ways, "from "+m.states[e.from].name+" to "+m.states[e.to].name+" with "+e.p.String())
	}
	after := "after each frame "
	if m.step > 0 {
		after = "every " + formatDuration(m.step) + " "
	}
	if ways == nil {
		return strings.Join(states, ", ")
	}
	return strings.Join(states, ", ") + ", the first at the start; " + after + strings.Join(ways, ", ")
}
