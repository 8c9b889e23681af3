package faults

import (
	"fmt"
	"strings"
	"time"

	"github.com/vnreplay/vnreplay/switch"
)

// rate limits a cable: frames wait for those before them, and are lost when the
// queue is full. See shaper.
type rate struct {
	bits    uint64 // per second
	burst   int    // bytes that pass at once after a pause
	packets int    // that may wait; 0: any number
	bytes   int    // that may wait; 0: any number
}

// defaultQueue is tc's for netem and pfifo: txqueuelen.
const defaultQueue = 1000

func startRate() (action, []clause) {
	a := &rate{packets: defaultQueue}
	return a, []clause{
		{word: "RATE", shape: "10mbit", match: looksLikeValue, parse: func(p *parser, t token) (err error) {
			a.bits, err = p.bitRate(t)
			return err
		}},
		{word: "burst", shape: "burst SIZE", parse: func(p *parser, word token) error {
			t, err := p.want(word.text, "how much passes at once, such as 16kB")
			if err != nil {
				return err
			}
			n, err := p.size(t, "the burst", maxBurst)
			a.burst = int(n)
			return err
		}},
		{word: "queue", shape: "queue 64p,96kB", parse: func(p *parser, word token) error {
			t, err := p.want(word.text, "how much may wait: 64p, 96kB or both: 64p,96kB")
			if err != nil {
				return err
			}
			a.packets, a.bytes, err = p.queue(t)
			return err
		}},
	}
}

// bitRate reads t as bits per second, in tc's units.
func (p *parser) bitRate(t token) (uint64, error) {
	if strings.HasSuffix(t.text, "bps") {
		return 0, p.errorf(t, "bps are bytes per second to tc; write bits: %sbit, or 8 times as many", strings.TrimSuffix(t.text, "bps"))
	}
	n, err := p.scaled(t, "a rate", "10mbit", "bit, kbit, mbit, gbit and tbit", maxRate, formatScaled(maxRate, bitUnits...), func(unit string) (uint64, bool) {
		factor := uint64(1)
		for _, name := range bitUnits {
			if unit == name {
				return factor, true
			}
			factor *= 1000
		}
		return 0, false
	})
	if err == nil && n == 0 {
		err = p.errorf(t, "nothing would ever pass: use drop, or down")
	}
	return n, err
}

var bitUnits = []string{"bit", "kbit", "mbit", "gbit", "tbit"}

// queue reads "64p", "96kB" or both.
func (p *parser) queue(t token) (packets, bytes int, err error) {
	items, err := p.list(t)
	if err != nil {
		return 0, 0, err
	}
	for _, item := range items {
		number, isPackets := strings.CutSuffix(item.text, "p")
		switch {
		case isPackets && packets == 0:
			n, err := p.whole(item.part(0, len(number)), "the number of frames that may wait", 1, 1_000_000)
			if err != nil {
				return 0, 0, err
			}
			packets = int(n)
		case !isPackets && bytes == 0:
			n, err := p.size(item, "what may wait", 1<<30)
			if err == nil && n == 0 {
				err = p.errorf(item, "a queue of no bytes holds nothing")
			}
			if err != nil {
				return 0, 0, err
			}
			bytes = int(n)
		default:
			return 0, 0, p.errorf(item, "a queue has one limit in frames (64p) and one in bytes (96kB)")
		}
	}
	return packets, bytes, nil
}

func (*rate) word() string  { return "rate" }
func (a *rate) draws() bool { return false }

func (a *rate) options() []string {
	parts := []string{formatScaled(a.bits, bitUnits...)}
	if a.burst != 0 {
		parts = append(parts, "burst", formatSize(uint64(a.burst)))
	}
	if a.packets == defaultQueue && a.bytes == 0 {
		return parts
	}
	return append(parts, "queue", a.queueText())
}

func (a *rate) queueText() string {
	var limits []string
	if a.packets > 0 {
		limits = append(limits, formatInt(a.packets)+"p")
	}
	if a.bytes > 0 {
		limits = append(limits, formatSize(uint64(a.bytes)))
	}
	return strings.Join(limits, ",")
}

func (a *rate) check(p *parser) error {
	if a.bits == 0 {
		return p.errorf(p.end, "how fast? rate 10mbit")
	}
	return nil
}

func (a *rate) newShaper() *shaper {
	return newShaper(int64(a.bits), a.burst, a.packets, a.bytes)
}

func (a *rate) verdict(s *subject, v *vswitch.Verdict) {
	late, ok, packets, bytes := s.path.shaper.send(s.frame.At.UnixNano(), len(s.frame.Data))
	if !ok {
		v.Drop, v.Reason = true, fmt.Sprintf("queue:%dp/%dB", packets, bytes)
		return
	}
	v.Delay = time.Duration(late)
}

func (a *rate) says() string {
	s := "lets " + formatScaled(a.bits, bitUnits...) + "/s pass"
	if a.burst > 0 {
		s += ", " + formatSize(uint64(a.burst)) + " at once after a pause"
	}
	var limits []string
	switch {
	case a.packets == 1:
		limits = append(limits, "1 frame")
	case a.packets > 1:
		limits = append(limits, formatInt(a.packets)+" frames")
	}
	if a.bytes > 0 {
		limits = append(limits, formatSize(uint64(a.bytes)))
	}
	return s + "; at most " + oneAnd(limits) + " may wait, what is more is lost"
}
