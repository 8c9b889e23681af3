package pcap_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vnreplay/vnreplay/pcap"
	vswitch "github.com/vnreplay/vnreplay/switch"
)

// handmade is a switch in real time as far as a recorder sees it: two ports with cables of
// 1 ns, whose frames are stamped by different threads and told in batches.
func handmade(t tb) *eventLog {
	t.Helper()
	w := vswitch.NewWorld(vswitch.Config{})
	sw, err := w.NewSwitch(vswitch.SwitchConfig{})
	ok(t, err)
	var ports []*vswitch.Port
	l := &eventLog{}
	start := w.Start()
	for _, name := range []string{"a", "b"} {
		p, err := sw.Connect(vswitch.PortConfig{Name: name, Latency: 1}, vswitch.EndpointFunc(func([]byte) {}))
		ok(t, err)
		ports = append(ports, p)
		ok(t, l.Record(&vswitch.Connected{Time: start, Port: p}))
	}
	seq := uint64(0)
	send := func(from, to *vswitch.Port, at time.Duration) {
		seq++
		sent := start.Add(at)
		ok(t, l.Record(&vswitch.Sent{
			Frame:  &vswitch.Frame{Data: ether(to.MAC(), from.MAC(), 60+int(seq)), Seq: seq, At: sent, From: from},
			Simple: true, Receivers: []vswitch.Receiver{{Port: to, Arrivals: []time.Time{sent.Add(2)}}},
		}))
	}
	a, b := ports[0], ports[1]
	us := time.Microsecond
	for range 3 {
		send(a, b, 100*us) // a batch with one stamp
	}
	send(b, a, 90*us) // stamped before, told after
	send(b, a, 95*us)
	send(a, b, 95*us)
	send(b, a, 200*us)
	send(a, b, 200*us-1)
	for _, p := range ports {
		ok(t, l.Record(&vswitch.Disconnected{Time: start.Add(200 * us), Port: p})) // before the last arrives
	}
	return l
}

// Stamps of different ports may be out of order in a recording made in real time;
// deliveries, views and books are what they are all the same.
func TestStampsOutOfOrder(t *testing.T) {
	log := handmade(t)
	wire := log.recorded(t, realMeta())
	all := deliveries(t, read(t, wire))
	var got []string
	for _, d := range all {
		at, rest, _ := strings.Cut(d, " +0000 UTC ")
		port, rest, _ := strings.Cut(rest, " ")
		id, _, _ := strings.Cut(rest, " ")
		got = append(got, at[len("2026-01-01 00:00:00"):]+" "+port+" "+id)
	}
	slices.Sort(got)
	// 7 and 8 are sent as the ports are closed: the first does not arrive any more.
	same(t, "deliveries", got, []string{
		".000090002 a #4", ".000095002 a #5", ".000095002 b #6",
		".000100002 b #1", ".000100002 b #2", ".000100002 b #3",
	})
	books, err := pcap.Balance(read(t, wire), nil)
	ok(t, err)
	if !books.Total.Balances() || books.Total.Delivered != 6 || books.Total.InFlight != 2 || books.Frames != 8 {
		t.Errorf("books %+v", books.Total)
	}
	full := viewFull(t, wire)
	if n := len(packets(t, read(t, full))); n != 8+6 {
		t.Errorf("%d frames in the full view", n)
	}
	for _, name := range []string{"a", "b"} {
		view := viewAt(t, wire, name)
		clean(t, "tshark", "-r", file(t, "view.pcapng", view))
		clean(t, "capinfos", file(t, "view.pcapng", view))
	}
	clean(t, "tshark", "-r", file(t, "wire.pcapng", wire))

	// In virtual time that cannot be.
	for _, err := range pcap.Deliveries(read(t, log.recorded(t, testMeta))) {
		if err != nil {
			if !errors.Is(err, pcap.ErrNotRecording) || !strings.Contains(err.Error(), "older than the frame before") {
				t.Errorf("got %v", err)
			}
			return
		}
	}
	t.Error("stamps out of order are taken for virtual time")
}

// What is not recorded is shown where it is missing.
func TestWhatIsNotRecordedIsShown(t *testing.T) {
	s := pcap.Show{}
	p := &pcap.Packet{Number: 1, Data: make([]byte, 60), OrigLen: 60, LinkType: pcap.LinkEthernet, Lost: 12, Comments: []string{"vnr.fault=drop rule=1:loss"}}
	if line := s.Line(p, pcap.Interface{Name: "a"}); !strings.HasSuffix(line, "  12 before it NOT RECORDED; DROP loss") {
		t.Error(line)
	}
	p.Comments = nil
	if line := s.Line(p, pcap.Interface{Name: "a"}); !strings.HasSuffix(line, "  12 before it NOT RECORDED") {
		t.Error(line)
	}
	lines := s.Changes([]string{"vnr.change=added rule=2:new time=2026-01-01T00:00:00Z text=new: drop 5%"})
	if len(lines) != 1 || !strings.HasSuffix(lines[0], "-- new: added, new: drop 5%") {
		t.Errorf("%q", lines)
	}
}
