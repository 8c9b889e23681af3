package interop_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"github.com/vnreplay/vnreplay/pcap"
	"github.com/vnreplay/vnreplay/pcap/interop"
	vswitch "github.com/vnreplay/vnreplay/switch"
)

const capture = "../../fixtures/captures/01-http-get-100k.a.pcapng"

func Example() {
	r, err := pcap.Open(capture)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer r.Close()
	src, err := interop.NewSource(r)
	if err != nil {
		fmt.Println(err)
		return
	}
	segments, bytes := 0, 0
	for packet := range gopacket.NewPacketSource(src, src.LinkType()).Packets() {
		if tcp, ok := packet.TransportLayer().(*layers.TCP); ok && tcp.SrcPort == 8080 {
			segments++
			bytes += len(tcp.Payload)
		}
	}
	fmt.Println(segments, "segments,", bytes, "bytes from the server,", src.Err())
	// Output:
	// 74 segments, 100204 bytes from the server, <nil>
}

// recording is a recording of one frame that is lost.
func recording(t *testing.T) []byte {
	t.Helper()
	w := vswitch.NewWorld(vswitch.Config{})
	sw, err := w.NewSwitch(vswitch.SwitchConfig{})
	must(t, err)
	var ports []*vswitch.Port
	for _, name := range []string{"a", "b"} {
		p, err := sw.Connect(vswitch.PortConfig{Name: name}, vswitch.EndpointFunc(func([]byte) {}))
		must(t, err)
		ports = append(ports, p)
	}
	var b bytes.Buffer
	rec, err := pcap.NewRecorder(&b, pcap.Meta{})
	must(t, err)
	for _, p := range ports {
		must(t, rec.Record(&vswitch.Connected{Time: w.Start(), Port: p}))
	}
	data := append(bytes.Repeat([]byte{2}, 12), 0x88, 0xb5, 'x')
	must(t, rec.Record(&vswitch.Sent{
		Frame: &vswitch.Frame{Data: data, Seq: 1, At: w.Start().Add(time.Second + 1), From: ports[1]},
		Lost:  vswitch.LostDown,
	}))
	must(t, rec.Close())
	return b.Bytes()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A program written against google/gopacket reads what we write, through the
// bridge and with that module's own reader.
func TestGoogleGopacketReadsARecording(t *testing.T) {
	b := recording(t)
	r, err := pcap.NewReader(bytes.NewReader(b), "run")
	must(t, err)
	src, err := interop.NewSource(r)
	must(t, err)
	own, err := pcapgo.NewNgReader(bytes.NewReader(b), pcapgo.NgReaderOptions{WantMixedLinkType: true})
	must(t, err)
	for {
		data, ci, err := src.ReadPacketData()
		data2, ci2, err2 := own.ReadPacketData()
		if err != err2 {
			t.Fatalf("the bridge returns %v, google/gopacket's reader %v", err, err2)
		}
		if err == io.EOF {
			break
		}
		p := ci.AncillaryData[1].(*pcap.Packet)
		if got := strings.Join(p.Comments, "; "); got != "vnr.lost=down" || p.ID != 1 {
			t.Errorf("packet %d has comments %s", p.ID, got)
		}
		ci.AncillaryData = ci.AncillaryData[:1]
		if !bytes.Equal(data, data2) || fmt.Sprint(ci) != fmt.Sprint(ci2) {
			t.Errorf("the bridge: %v %x\ngoogle/gopacket: %v %x", ci, data, ci2, data2)
		}
	}
	if src.Err() != nil {
		t.Error(src.Err())
	}
}

// gopacket's PacketSource ends where a cut capture does, and says so.
func TestACutCaptureEnds(t *testing.T) {
	b, err := os.ReadFile(capture)
	must(t, err)
	r, err := pcap.NewReader(bytes.NewReader(b[:len(b)/2]), "run")
	must(t, err)
	src, err := interop.NewSource(r)
	must(t, err)
	n := 0
	for range gopacket.NewPacketSource(src, src.LinkType()).Packets() {
		n++
	}
	var cut *pcap.TruncatedError
	if !errors.As(src.Err(), &cut) || cut.Frames != n || n == 0 {
		t.Errorf("%d packets, then %v", n, src.Err())
	}
}

func TestLinkTypes(t *testing.T) {
	r, err := pcap.Open("../../fixtures/captures/public-23-sll2.pcap")
	must(t, err)
	defer r.Close()
	if _, err := interop.NewSource(r); err == nil || !strings.Contains(err.Error(), "link type 276 has no number") {
		t.Errorf("SLL2: got %v", err)
	}
	r, err = pcap.Open("../../fixtures/captures/public-26-multi-if-le.pcapng")
	must(t, err)
	defer r.Close()
	src, err := interop.NewSource(r)
	must(t, err)
	for err == nil {
		_, _, err = src.ReadPacketData()
	}
	if _, _, again := src.ReadPacketData(); again != io.EOF || !strings.Contains(err.Error(), "link type 0, those before have 1") {
		t.Errorf("mixed link types: %v, then %v", err, again)
	}
}
