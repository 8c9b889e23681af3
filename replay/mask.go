package replay

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// MaxMasks bounds the masks of a replay, MaxMatches how often a pattern counts in a
// stream or datagram: what it matches after that is compared.
const (
	MaxMasks   = 32
	MaxMatches = 1 << 16
)

// Mask leaves runs of the captured bytes out of the comparison. The live side may
// have other bytes there, but as many: a mask never moves what follows. Make one
// with [MaskHeader] or [MaskPattern].
type Mask struct {
	name   string
	header string         // of HTTP; "" for a pattern
	date   bool           // the values must be dates
	expr   *regexp.Regexp // of a pattern
	whole  *regexp.Regexp // the same, from the beginning to the end
}

// Name is what the report calls the mask.
func (m *Mask) Name() string { return m.name }

// MaskHeader returns the mask for the values of an HTTP/1 header, in requests and
// responses. The live side's value may be anything of the same length without a
// line end.
func MaskHeader(name string) (*Mask, error) {
	if name == "" || strings.ContainsAny(name, ": \t\r\n") {
		return nil, fmt.Errorf("%q is no name of an HTTP header", name)
	}
	return &Mask{name: "header " + name, header: name}, nil
}

// MaskPattern returns the mask for what a regular expression ([regexp], RE2
// syntax) matches in a stream or datagram. The live side must have there, in as
// many bytes, something that the expression matches as a whole. The expression
// sees bytes: \xff is the byte ff, and what is not ASCII in it stands for its
// UTF-8 bytes.
func MaskPattern(expr string) (*Mask, error) {
	raw := latin1([]byte(expr))
	e, err := regexp.Compile(raw)
	if err != nil {
		return nil, err
	}
	if e.MatchString("") {
		return nil, fmt.Errorf("%s matches nothing at all, too: it would mask everywhere", expr)
	}
	whole, err := regexp.Compile(`\A(?:` + raw + `)\z`)
	if err != nil {
		return nil, err
	}
	return &Mask{name: "pattern " + expr, expr: e, whole: whole}, nil
}

// dates are the masks that every replay has: HTTP headers whose values are
// instants, as long as they are dates on both sides.
var dates = []*Mask{
	{name: "http-date", header: "Date", date: true},
	{name: "http-last-modified", header: "Last-Modified", date: true},
	{name: "http-expires", header: "Expires", date: true},
}

// latin1 is a string in which the character with the number b stands for byte b.
func latin1(b []byte) string {
	if !slices.ContainsFunc(b, func(x byte) bool { return x >= utf8.RuneSelf }) {
		return string(b)
	}
	var s strings.Builder
	s.Grow(len(b) + len(b)/2)
	for _, x := range b {
		s.WriteRune(rune(x))
	}
	return s.String()
}

// span is a run of captured bytes that a mask covers.
type span struct {
	from, to int64
	mask     *Mask
}

// accepts reports whether the live side may say this in place of what is captured.
func (s *span) accepts(b []byte) bool {
	switch {
	case s.mask.date:
		return isDate(string(b))
	case s.mask.header != "":
		return !bytes.ContainsAny(b, "\r\n")
	}
	return s.mask.whole.MatchString(latin1(b))
}

// isDate reports whether a text is a date as HTTP writes it (RFC 9110, 5.6.7).
func isDate(s string) bool {
	t, err := http.ParseTime(s)
	return err == nil && t.UTC().Format(http.TimeFormat) == s
}

// spansOf finds what masks cover in what one side said, in order and without
// overlap: of two that overlap the one that begins first counts, or the first of
// the list. peer is what the other side said, for HTTP.
func spansOf(masks []*Mask, data, peer []byte) (out []span) {
	messages := parseHTTP(data, peer)
	var text string
	for _, m := range masks {
		if m.expr == nil {
			for i := range messages {
				for _, h := range messages[i].headers {
					if strings.EqualFold(h.name, m.header) && h.value < h.end && (!m.date || isDate(h.text)) {
						out = append(out, span{h.value, h.end, m})
					}
				}
			}
			continue
		}
		if text == "" {
			text = latin1(data)
		}
		w := walker{data: data}
		for _, at := range m.expr.FindAllStringIndex(text, MaxMatches) {
			if from, to := w.offset(at[0]), w.offset(at[1]); from < to {
				out = append(out, span{from, to, m})
			}
		}
	}
	slices.SortStableFunc(out, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	end := int64(0)
	return slices.DeleteFunc(out, func(s span) bool {
		if s.from < end {
			return true
		}
		end = s.to
		return false
	})
}

// walker finds the offsets in data of places in what [latin1] makes of it, in their
// order.
type walker struct {
	data     []byte
	at, text int
}

func (w *walker) offset(text int) int64 {
	for w.text < text {
		if w.data[w.at] >= utf8.RuneSelf {
			w.text++
		}
		w.text++
		w.at++
	}
	return int64(w.at)
}

// matcher compares what a live side says, piece by piece and in order, with what is
// captured.
type matcher struct {
	r     *Report
	want  []byte
	spans []span // that are still to come
	all   []span
	held  []byte // what came of the first of spans
	blind bool   // nothing is compared
	// why is what is wrong, if a mask does not accept what is there.
	why string
}

func newMatcher(r *Report, want, peer []byte) *matcher {
	if r.blind {
		return &matcher{blind: true, want: want}
	}
	m := &matcher{r: r, want: want, spans: spansOf(r.masks, want, peer)}
	m.all = m.spans
	for _, s := range m.spans {
		r.maskUsed[s.mask] = true
	}
	return m
}

// match returns how many bytes of data, which stand at an offset, are as captured or
// masked.
func (m *matcher) match(offset int64, data []byte) int {
	if m.blind {
		return min(len(data), max(len(m.want)-int(offset), 0))
	}
	n := 0
	for n < len(data) {
		at := offset + int64(n)
		if at >= int64(len(m.want)) {
			return n
		}
		if len(m.spans) == 0 || at < m.spans[0].from {
			end := int64(len(m.want))
			if len(m.spans) > 0 {
				end = m.spans[0].from
			}
			part := data[n:min(int64(len(data)), int64(n)+end-at)]
			same := firstDifference(part, m.want[at:])
			n += same
			if same < len(part) {
				return n
			}
			continue
		}
		s := &m.spans[0]
		part := data[n:min(int64(len(data)), int64(n)+s.to-at)]
		if s.mask.header != "" && !s.mask.date {
			if i := bytes.IndexAny(part, "\r\n"); i >= 0 {
				m.why = fmt.Sprintf("%s is masked, but its value is shorter than the %d bytes of the capture: masks keep lengths", s.mask.name, s.to-s.from)
				return n + i
			}
		}
		m.held = append(m.held, part...)
		if at+int64(len(part)) < s.to {
			return n + len(part)
		}
		if want := m.want[s.from:s.to]; !bytes.Equal(want, m.held) {
			if !s.accepts(m.held) {
				first := int64(firstDifference(want, m.held))
				m.why = fmt.Sprintf("mask %s does not accept what the live side has here, in as many bytes", s.mask.name)
				return max(int(s.from+first-offset), 0)
			}
			m.r.Masked = add(m.r.Masked, s.mask.name)
		}
		n += len(part)
		m.spans, m.held = m.spans[1:], m.held[:0]
	}
	return n
}

// again is [matcher.match] for bytes that came before: what masks cover is not looked
// at.
func (m *matcher) again(offset int64, data []byte) int {
	i, _ := slices.BinarySearchFunc(m.all, offset+1, func(s span, at int64) int { return cmp.Compare(s.to, at) })
	for n, b := range data {
		at := offset + int64(n)
		for i < len(m.all) && m.all[i].to <= at {
			i++
		}
		switch {
		case at >= int64(len(m.want)):
			return n
		case b == m.want[at], m.blind, i < len(m.all) && m.all[i].from <= at:
		default:
			return n
		}
	}
	return len(data)
}

func firstDifference(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// masksOf checks the masks of the options, and adds those that are always there.
func masksOf(given []*Mask) ([]*Mask, error) {
	if len(given) > MaxMasks {
		return nil, fmt.Errorf("%d masks, want at most %d", len(given), MaxMasks)
	}
	if slices.Contains(given, nil) {
		return nil, errors.New("a mask is nil")
	}
	return append(slices.Clone(given), dates...), nil
}

// unusedMasks says which masks that the user gave cover nothing in the capture.
func (r *Report) unusedMasks() {
	for _, m := range r.masks {
		if !r.maskUsed[m] && !m.date {
			r.note("mask %s covers nothing that the live side says in the capture", m.name)
		}
	}
}
