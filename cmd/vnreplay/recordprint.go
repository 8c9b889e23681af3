package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/vnreplay/vnreplay/live"
	"github.com/vnreplay/vnreplay/pcap"
	"github.com/vnreplay/vnreplay/scenario"
)

// recordText is the summary for people.
func recordText(st live.Status, err error) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s) in %v, seed %d", count(st.Frames, "frame"), bytesText(st.Bytes), round(st.Took), st.Seed)
	if st.Ended != "" && st.Ended != live.EndStopped {
		fmt.Fprintf(&b, "; ended: %s", st.Ended)
	}
	b.WriteString("\n\n")
	writePorts(&b, st.Ports)
	if len(st.Rules) > 0 {
		writeRules(&b, &scenario.Result{Affected: scenario.AffectedOf(st.Affected), Rules: liveRules(st.Rules)})
	}
	writeLiveApps(&b, st.Ports)
	writeRecording(&b, &st.Recording, err)
	return b.String()
}

// writePorts writes what came in at each port, what went out, and what was lost.
func writePorts(b *strings.Builder, ports []live.PortStatus) {
	t := newTable(0)
	fmt.Fprintf(t, "port\tin\tbytes\tout\tbytes\tlost\n")
	for i := range ports {
		if i == most {
			fmt.Fprintf(t, "and %d more\n", len(ports)-most)
			break
		}
		p := &ports[i]
		fmt.Fprintf(t, "%s\t%d\t%s\t%d\t%s\t%s\n", clip(p.Name, 20), p.InFrames, bytesText(p.InBytes), p.OutFrames, bytesText(p.OutBytes), lostText(p))
	}
	t.writeTo(b)
}

// lostText says what a port lost, and why; and that it went away.
func lostText(p *live.PortStatus) string {
	var parts []string
	add := func(n uint64, what string) {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, what))
		}
	}
	for _, cause := range []string{"rule", "queue", "down", "mtu", "reserved"} {
		add(p.Lost[cause], cause)
	}
	add(p.Refused, "refused")
	if d := p.Device; d != nil {
		add(d.RxDropped+d.TxDropped, "dropped by the device")
		add(d.TxDown, "without a peer")
		add(d.RxOversize+d.TxInvalid, "of a wrong size")
		add(d.RxMalformed+d.RxForeign, "no frames of it")
		add(d.RxOffload, "offloaded")
	}
	if !p.Up {
		parts = append(parts, "cable down")
	}
	if len(parts) == 0 {
		return "-"
	}
	return strings.Join(parts, ", ")
}

// liveRules are rules as the table of rules has them.
func liveRules(rules []live.RuleStatus) (out []scenario.RuleResult) {
	for _, r := range rules {
		text := r.Text
		switch {
		case r.Removed:
			text += " (removed)"
		case !r.On:
			text += " (off)"
		}
		out = append(out, scenario.RuleResult{Number: r.Number, Name: r.Name, Text: text, Added: true, Matched: r.Asked,
			Idle: r.Idle, Affected: scenario.AffectedOf(r.RuleCounts)})
	}
	return out
}

func writeLiveApps(b *strings.Builder, ports []live.PortStatus) {
	var all []scenario.AppResult
	for _, p := range ports {
		for _, a := range p.Apps {
			kind, _, _ := strings.Cut(a.Name, "@")
			all = append(all, scenario.AppResult{Name: a.Name, Host: p.Name, Kind: kind, Server: true, Result: a.Result})
		}
	}
	writeApps(b, all)
}

// writeRecording says where the recording is, what it lacks, and how to open it.
func writeRecording(b *strings.Builder, r *live.RecordingStatus, err error) {
	if r.Lost > 0 {
		fmt.Fprintf(b, "\nwarning: %s not recorded, as the file was too slow (--on-full drop)\n", isOrAre(int(r.Lost)))
	}
	files := paths(*r)
	if len(files) == 0 {
		return
	}
	last := pcap.Printable(files[len(files)-1])
	switch {
	case err != nil:
		fmt.Fprintf(b, "\nrecording, not whole: %s\n", last)
	case len(r.Files) > 0:
		var size int64
		removed := 0
		for _, f := range r.Files {
			if f.Removed {
				removed++
				continue
			}
			size += f.Bytes
		}
		fmt.Fprintf(b, "\nrecording: %s (%s", count(uint64(len(files)), "file"), bytesText(uint64(size)))
		if removed > 0 {
			fmt.Fprintf(b, "; %d older removed", removed)
		}
		fmt.Fprintf(b, "), the last is %s\n", last)
	default:
		fmt.Fprintf(b, "\nrecording: %s (%s)\n", last, bytesText(uint64(r.Bytes)))
	}
	if err == nil {
		fmt.Fprintf(b, "open it:   vnreplay show %s    or: wireshark %[1]s\n", last)
	}
}

// statusLine is the line on a terminal that says what a running switch does, and
// the way of notices past it.
type statusLine struct {
	w    io.Writer
	tty  bool
	mu   sync.Mutex
	over chan struct{}
	done sync.WaitGroup

	last   live.Status
	lastAt time.Time
}

func newStatusLine(w io.Writer) *statusLine {
	return &statusLine{w: w, tty: isTerminal(w), over: make(chan struct{})}
}

// statusEvery is how often the line is rewritten.
const statusEvery = 500 * time.Millisecond

// watch begins to show what the switch does, on a terminal.
func (l *statusLine) watch(sw *live.Switch) {
	if !l.tty {
		return
	}
	l.done.Go(func() {
		tick := time.NewTicker(statusEvery)
		defer tick.Stop()
		for {
			l.draw(sw.Status())
			select {
			case <-l.over:
				return
			case <-tick.C:
			}
		}
	})
}

func (l *statusLine) draw(st live.Status) {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := l.text(st)
	l.last, l.lastAt = st, time.Now()
	fmt.Fprintf(l.w, "\r%s%s", eraseLine, clip(text, width-1))
}

// text is the line, of at most 79 columns.
func (l *statusLine) text(st live.Status) string {
	rate := 0.0
	if d := st.Took - l.last.Took; d > 0 {
		rate = float64(st.Frames-l.last.Frames) / d.Seconds()
	}
	text := fmt.Sprintf("%v  %d frames  %s  %.0f/s", st.Took.Truncate(time.Second), st.Frames, bytesText(st.Bytes), rate)
	if st.Affected.Frames > 0 {
		text += fmt.Sprintf("  %d faults", st.Affected.Frames)
	}
	if n := drops(st.Ports); n > 0 {
		text += fmt.Sprintf("  %d dropped", n)
	}
	if r := &st.Recording; r.Lost > 0 {
		text += fmt.Sprintf("  %d NOT RECORDED", r.Lost)
	}
	return text + "  lag " + st.Recording.Lag.Round(time.Millisecond).String()
}

// drops are frames that were lost by no rule.
func drops(ports []live.PortStatus) (n uint64) {
	for _, p := range ports {
		for cause, lost := range p.Lost {
			if cause != "rule" {
				n += lost
			}
		}
		n += p.Refused
		if d := p.Device; d != nil {
			n += lostBy(d)
		}
	}
	return n
}

func lostBy(d *live.DeviceStatus) uint64 {
	return d.RxDropped + d.TxDropped + d.RxOversize + d.TxInvalid + d.RxMalformed + d.RxOffload
}

// notice writes a line of its own.
func (l *statusLine) notice(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.tty {
		fmt.Fprintf(l.w, "\r%s", eraseLine)
	}
	fmt.Fprintf(l.w, "vnreplay: %s\n", pcap.Printable(text))
}

// clear takes the line away.
func (l *statusLine) clear() {
	close(l.over)
	l.done.Wait()
	if l.tty {
		fmt.Fprintf(l.w, "\r%s", eraseLine)
	}
}
