package replay_test

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/vnreplay/vnreplay/pcap"
	"github.com/vnreplay/vnreplay/replay"
	"github.com/vnreplay/vnreplay/vnetif"
)

// TestPromptAcknowledgements replays a client against a server whose segments end
// elsewhere: nothing is lost, so nothing may be sent twice.
func TestPromptAcknowledgements(t *testing.T) {
	a := load(t, "01-http-get-100k.a.pcapng")
	request, response := a.Conversations[0].Streams[0].Data, a.Conversations[0].Streams[1].Data
	r := run(t, a, "10.77.0.2", func(o *replay.Options) {
		o.Live[0].App = server("8080", func(h *vnetif.Host, c net.Conn) error {
			hear(c, len(request))
			c.Write(response)
			return c.Close()
		})
	})
	if out := text(t, r); r.Verdict != replay.Same || r.Retransmits != 0 || r.Synthetic != 0 || !strings.Contains(out, "ack-split") {
		t.Errorf("want no retransmission, and acknowledgements that were split:\n%s", out)
	}
}

// TestSyntheticFrames looks up the synthetic acknowledgements in the recording.
func TestSyntheticFrames(t *testing.T) {
	var file bytes.Buffer
	rec, err := pcap.NewRecorder(&file, pcap.Meta{Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	a := load(t, "02a-http-loss.a.pcapng")
	captured := map[uint32]bool{}
	for _, f := range a.Capture.Frames {
		if f.TCP != nil && f.IP.Src == netip.MustParseAddr("10.77.0.1") {
			captured[f.IP.ID] = true
		}
	}
	r := run(t, a, "10.77.0.2", func(o *replay.Options) { o.Recorder = rec })
	if err := rec.Close(); err != nil {
		t.Fatal(err)
	}
	own := 0
	for _, n := range r.Normalised {
		if n.Name == "ack-own" {
			own = n.N
		}
	}
	if own == 0 || len(r.SyntheticFrames) != r.Synthetic+own || !strings.Contains(text(t, r), fmt.Sprintf(" %d", r.SyntheticFrames[0])) {
		t.Fatalf("%d acknowledgements, frames %v:\n%s", r.Synthetic+own, r.SyntheticFrames, text(t, r))
	}
	in, err := pcap.NewReader(&file, "replay")
	if err != nil {
		t.Fatal(err)
	}
	c, err := replay.Read(in, "replay")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range r.SyntheticFrames {
		f := c.Frames[n-1]
		if f.Number != int(n) || f.TCP == nil || f.IP.Src != netip.MustParseAddr("10.77.0.1") || len(f.Payload) > 0 || f.TCP.Flags != pcap.ACK || captured[f.IP.ID] {
			t.Errorf("frame %d is no acknowledgement of the played side's own", n)
		}
	}
}
