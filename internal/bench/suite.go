package bench

import "fmt"

// Sizes say how much a [Suite] measures.
type Sizes struct {
	Bytes     int64  // of a TCP transfer
	Datagrams int    // of a UDP run
	Frames    int    // of those forwarded one by one
	MTUs      []int  // in bytes behind the Ethernet header
	Dir       string // for recordings
}

const (
	// headersUDP is what IPv4 and UDP take of the MTU, in bytes.
	headersUDP = 28
	// recordedFrames is how many frames of [FrameSize] are recorded at most.
	recordedFrames = 1_000_000
)

// Suite is what "vnreplay bench" measures: TCP between two hosts on one switch, UDP
// datagrams as big as the MTU lets them be, and frames from port to port, each with
// and without a recording and fault rules. The rules are [IdleRules], which change
// nothing, so that it is the switch that is measured and not how TCP takes losses.
func Suite(s Sizes) []Group {
	tcp := Group{Name: "tcp", Title: fmt.Sprintf("one TCP connection between two hosts, %.4g MB", float64(s.Bytes)/1e6), Metric: Gbps}
	udp := Group{Name: "udp", Title: fmt.Sprintf("%d UDP datagrams as big as the MTU", s.Datagrams), Metric: MillionFrames}
	for _, mtu := range s.MTUs {
		s.each(&tcp, mtu, func(label string, at Setting) Subject {
			return &TCP{Label: label, Size: s.Bytes, Setting: at}
		})
		s.each(&udp, mtu, func(label string, at Setting) Subject {
			return &UDP{Label: label, Count: s.Datagrams, Payload: mtu - headersUDP, Setting: at}
		})
	}
	return []Group{tcp, udp, s.frames()}
}

// each adds to a group what is measured at one MTU.
func (s Sizes) each(g *Group, mtu int, subject func(label string, at Setting) Subject) {
	plain := fmt.Sprintf("MTU %d", mtu)
	recorded, faulty, both := plain+", recorded", plain+", rules", plain+", rules, recorded"
	g.Subjects = append(g.Subjects,
		subject(plain, Setting{MTU: mtu}),
		subject(recorded, Setting{MTU: mtu, Dir: s.Dir}),
		subject(faulty, Setting{MTU: mtu, Rules: IdleRules}),
		subject(both, Setting{MTU: mtu, Dir: s.Dir, Rules: IdleRules}))
	g.Ratios = append(g.Ratios,
		Ratio{Of: recorded, To: plain}, Ratio{Of: faulty, To: plain}, Ratio{Of: both, To: plain})
}

// frames is the group of frames forwarded one by one, beside what this machine can
// do at all.
func (s Sizes) frames() Group {
	const memcpy, write = "memcpy", "write(2) of 1 MiB"
	const plain, recorded, faulty, loss = "forwarded", "recorded", "rules", "drop 1 %"
	written := min(s.Frames, recordedFrames)
	return Group{
		Name:   "frames",
		Title:  fmt.Sprintf("frames of %d bytes, from one port to another", FrameSize),
		Metric: MillionFrames,
		Subjects: []Subject{
			&Memcpy{Label: memcpy, Count: s.Frames},
			&Frames{Label: plain, Count: s.Frames},
			&Frames{Label: faulty, Count: s.Frames, Setting: Setting{Rules: IdleRules}},
			&Frames{Label: loss, Count: s.Frames, Setting: Setting{Rules: []string{"drop 1%"}}},
			&FileWrite{Label: write, Count: written, Dir: s.Dir},
			&Frames{Label: recorded, Count: written, Setting: Setting{Dir: s.Dir}},
		},
		Ratios: []Ratio{
			{Of: plain, To: memcpy}, {Of: faulty, To: plain}, {Of: loss, To: plain}, {Of: recorded, To: write},
		},
	}
}
