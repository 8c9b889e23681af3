package faults

import (
	"fmt"
	"math/bits"
	"strings"

	"github.com/vnreplay/vnreplay/switch"
)

// truncate cuts the frame short. Lengths and checksums in it stay as they are.
type truncate struct{ size int }

// maxFrameLen is the longest frame that a port can carry, in bytes.
const maxFrameLen = vswitch.HeaderLen + 4 + vswitch.MaxMTU

func startTruncate() (action, []clause) {
	a := &truncate{}
	return a, []clause{{word: "to", shape: "to SIZE", takes: looksLikeSize, parse: func(p *parser, word token) error {
		t := p.next()
		n, err := p.size(t, "the length that is left", maxFrameLen)
		if err == nil && n < vswitch.HeaderLen {
			err = p.errorf(t, "at least the %d bytes of the Ethernet header are left", vswitch.HeaderLen)
		}
		a.size = int(n)
		return err
	}}}
}

func (*truncate) word() string        { return "truncate" }
func (a *truncate) options() []string { return []string{"to", formatSize(uint64(a.size))} }
func (*truncate) draws() bool         { return false }

func (*truncate) check(*parser) error { return nil }

func (a *truncate) checkRule(p *parser, r *Rule) error {
	switch {
	case a.size > 0:
		return nil
	case r.to != "" && strings.Trim(r.to, "0123456789") == "":
		return p.errorf(p.end, "how much is left? %s needs a unit: truncate to %sB", r.to, r.to)
	}
	return p.errorf(p.end, "how much is left? truncate to 60B: the Ethernet header counts")
}

func (a *truncate) verdict(s *subject, v *vswitch.Verdict) {
	if a.size < len(s.frame.Data) {
		v.Truncate = a.size
	}
}

// pad adds zero bytes behind the frame where it arrives: a number of them from
// least to most, each as likely as any other.
type pad struct{ least, most int }

const maxPad = 9000 // bytes

func startPad() (action, []clause) {
	a := &pad{most: -1}
	return a, []clause{{word: "SIZE", shape: "4B or 0..9B", match: looksLikeValue, parse: func(p *parser, t token) (err error) {
		a.least, a.most, err = p.padding(t)
		return err
	}}}
}

// padding reads "4B" or "0..9B".
func (p *parser) padding(t token) (least, most int, err error) {
	low, high, isRange := strings.Cut(t.text, "..")
	upper := t
	if isRange {
		upper = t.part(len(t.text)-len(high), len(t.text))
	}
	n, err := p.size(upper, "the padding", maxPad)
	if err != nil || !isRange {
		if err == nil && n == 0 {
			err = p.errorf(t, "this adds nothing")
		}
		return int(n), int(n), err
	}
	first := t.part(0, len(low))
	m, err := p.whole(token{text: strings.TrimSuffix(low, "B"), column: first.column}, "the least padding", 0, maxPad)
	if err == nil && m >= n {
		err = p.errorf(t, "the range ends before it begins")
	}
	return int(m), int(n), err
}

func (*pad) word() string  { return "pad" }
func (a *pad) draws() bool { return a.least != a.most }

func (a *pad) options() []string {
	if a.least == a.most {
		return []string{fmt.Sprintf("%dB", a.most)}
	}
	return []string{fmt.Sprintf("%d..%dB", a.least, a.most)}
}

func (a *pad) check(p *parser) error {
	if a.most < 0 {
		return p.errorf(p.end, "how much is added? pad 4B, or pad 0..9B")
	}
	return nil
}

func (a *pad) verdict(s *subject, v *vswitch.Verdict) {
	n := a.least
	if a.draws() {
		hi, _ := bits.Mul64(s.word(1), uint64(a.most-a.least)+1)
		n += int(hi)
	}
	v.Pad = n
}

func (a *truncate) says() string {
	return fmt.Sprintf("cuts them to %d bytes, Ethernet header included", a.size)
}

func (a *pad) says() string {
	if a.least == a.most {
		return fmt.Sprintf("adds %d zero bytes where they arrive", a.most)
	}
	return fmt.Sprintf("adds %d to %d zero bytes where they arrive", a.least, a.most)
}
