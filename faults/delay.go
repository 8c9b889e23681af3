package faults

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/vnreplay/vnreplay/switch"
)

// lateness is a length of time: a mean, and how far single ones lie from it.
type lateness struct {
	mean, jitter time.Duration
	dist         *dist
	file         string // of a table that has yet to be read
	corr         correlation
}

// maxLate bounds a delay and its jitter.
const maxLate = time.Hour

// jitterClause is the word that sets all but the mean.
func (l *lateness) jitterClause() clause {
	l.dist = findDist(distNames()[0])
	return clause{word: "jitter", shape: "jitter TIME", parse: func(p *parser, word token) error {
		t, err := p.want(word.text, "how far the delay strays, such as 10ms")
		if err != nil {
			return err
		}
		if l.jitter, err = p.duration(t, "the jitter", maxLate); err != nil {
			return err
		}
		if l.jitter == 0 {
			return p.errorf(t, "no jitter at all: leave it out")
		}
		if err = l.parseDist(p); err == nil && p.peek().text == "corr" {
			l.corr, err = p.correlation(p.next())
		}
		return err
	}}
}

// parseDist reads the name of a distribution or a table, if there is one.
func (l *lateness) parseDist(p *parser) error {
	t := p.peek()
	if d := findDist(t.text); d != nil {
		p.next()
		l.dist = d
		return nil
	}
	if t.text != "table" {
		return nil
	}
	p.next()
	if t, err := p.want("table", "a file of a distribution as netem has them, or its values: -8192,0,8192"); err != nil {
		return err
	} else if strings.Trim(t.text, "-,0123456789") == "" {
		if l.dist, err = parseDistText(t.text); err != nil {
			return p.errorf(t, "%v", err)
		}
	} else {
		name := t
		if t.quoted {
			name = t.part(1, len(t.text)-1)
		}
		// A name has to be there, and to be printed in quotes.
		if len(t.text) == len(`""`) && t.quoted || strings.Contains(name.text, `"`) {
			return p.errorf(t, `the name of a table's file has at least one character, and no " in it`)
		}
		l.file = name.text
	}
	return nil
}

// jitterText is the normal form of the jitter.
func (l *lateness) jitterText() []string {
	if l.jitter == 0 {
		return nil
	}
	parts := []string{"jitter", formatDuration(l.jitter)}
	switch {
	case l.file != "":
		parts = append(parts, "table", `"`+l.file+`"`)
	case l.dist.name == "":
		parts = append(parts, "table", l.dist.text())
	case l.dist.name != distNames()[0]:
		parts = append(parts, l.dist.name)
	}
	return append(parts, strings.TrimPrefix(l.corr.text(), " "))
}

// of is how long frame s is delayed; never less than nothing.
func (l *lateness) of(s *subject) time.Duration {
	if l.jitter == 0 {
		return l.mean
	}
	return max(0, l.mean+l.dist.sample(l.jitter, l.corr.mix(s.word(1), &s.path.jitter)))
}

// looksLikeValue reports whether t is a number with a unit, rightly written or
// not, rather than a probability.
func looksLikeValue(t token) bool {
	return !t.atEnd() && isDigit(t.text[0]) && !strings.ContainsAny(t.text, "%‰/")
}

// delay lets the frame arrive later.
type delay struct {
	lateness
	said   bool
	places []placeDelay // instead: exactly these, in order of place
	word1  token
}

// placeDelay is the delay of the frame at one place of its path.
type placeDelay struct {
	place uint64
	by    time.Duration
}

func startDelay() (action, []clause) {
	a := &delay{}
	return a, []clause{
		{word: "TIME", shape: "TIME", match: looksLikeValue, parse: func(p *parser, t token) (err error) {
			a.said = true
			if a.mean, err = p.duration(t, "the delay", maxLate); err == nil && a.mean == 0 {
				err = p.errorf(t, "no delay at all")
			}
			return err
		}},
		a.jitterClause(),
		{word: "places", shape: "places 3:12ms", parse: func(p *parser, word token) error {
			a.word1 = word
			t, err := p.want(word.text, "the places of frames with their delays: 3:12ms,4:15ms")
			if err != nil {
				return err
			}
			a.places, err = p.placedDelays(t)
			return err
		}},
	}
}

// placedDelays reads "3:12ms,4:15ms".
func (p *parser) placedDelays(t token) ([]placeDelay, error) {
	items, err := p.list(t)
	if err != nil {
		return nil, err
	}
	list := make([]placeDelay, len(items))
	for i, item := range items {
		place, by, ok := strings.Cut(item.text, ":")
		if !ok {
			return nil, p.errorf(item, "a place and its delay are written 3:12ms")
		}
		if list[i].place, err = p.whole(item.part(0, len(place)), "a frame's place", 1, maxNumber); err != nil {
			return nil, err
		}
		if list[i].by, err = p.duration(item.part(len(item.text)-len(by), len(item.text)), "the delay", vswitch.MaxDelay); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(list, func(a, b placeDelay) int { return comparePlaces(a.place, b.place) })
	for i := 1; i < len(list); i++ {
		if list[i].place == list[i-1].place {
			return nil, p.errorf(t, "place %d is there twice", list[i].place)
		}
	}
	return list, nil
}

func comparePlaces(a, b uint64) int {
	if a < b {
		return -1
	}
	if a > b {
		return 1
	}
	return 0
}

func (*delay) word() string  { return "delay" }
func (a *delay) draws() bool { return a.jitter != 0 }

func (a *delay) options() []string {
	if a.places == nil {
		return append([]string{formatDuration(a.mean)}, a.jitterText()...)
	}
	var b strings.Builder
	for i, x := range a.places {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(formatPlace(x.place) + ":" + formatDuration(x.by))
	}
	return []string{"places", b.String()}
}

func (a *delay) check(p *parser) error {
	switch {
	case a.places != nil && (a.said || a.jitter != 0):
		return p.errorf(a.word1, `either one delay for all ("delay 40ms") or one for each place, not both`)
	case a.places == nil && !a.said:
		return p.errorf(p.end, "how long? delay 40ms")
	}
	return nil
}

func (a *delay) checkRule(p *parser, r *Rule) error {
	if a.places != nil && r.often != (always{}) {
		return p.errorf(a.word1, "the places say how often")
	}
	return nil
}

func (a *delay) verdict(s *subject, v *vswitch.Verdict) {
	if a.places == nil {
		v.Delay = a.of(s)
		return
	}
	i, found := slices.BinarySearchFunc(a.places, s.place(), func(x placeDelay, n uint64) int { return comparePlaces(x.place, n) })
	if found {
		v.Delay = a.places[i].by
	}
}

func (l *lateness) says() string {
	s := formatDuration(l.mean)
	if l.jitter == 0 {
		return s
	}
	name := l.dist.name
	if name == "" || l.file != "" {
		name = "by a table"
	}
	s += fmt.Sprintf(", give or take %s (%s)", formatDuration(l.jitter), name)
	if l.corr.rho != 0 {
		s += ", correlated by " + l.corr.ratio.String()
	}
	return s
}

func (a *delay) says() string {
	if a.places != nil {
		if len(a.places) == 1 {
			return "delays the one at this place of each path by its time: " + a.options()[1]
		}
		return fmt.Sprintf("delays those at %d places of each path, each by its own time: %s", len(a.places), a.options()[1])
	}
	return "delays them by " + a.lateness.says() + "; later ones may overtake"
}
