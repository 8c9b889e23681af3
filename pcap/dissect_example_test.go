package pcap_test

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/vnreplay/vnreplay/pcap"
	vswitch "github.com/vnreplay/vnreplay/switch"
)

func exampleFrame() []byte {
	f, err := pcap.BuildTCP(pcap.Segment{
		DstMAC: vswitch.PortMAC(1), SrcMAC: vswitch.PortMAC(0),
		Src: netip.MustParseAddrPort("10.0.0.1:49152"), Dst: netip.MustParseAddrPort("10.0.0.2:80"),
		Seq: 1000, Ack: 2000, Flags: pcap.PSH | pcap.ACK, Window: 512, Payload: []byte("GET / HTTP/1.1\r\n\r\n"),
	})
	if err != nil {
		panic(err)
	}
	return f
}

func ExampleDecode() {
	d := pcap.Decode(exampleFrame())
	fmt.Println(d.IP.Src, d.TCP.DstPort, d.TCP.Flags, d.TCP.Seq, len(d.Payload), d.Problem == "")
	// Output: 10.0.0.1 80 P. 1000 18 true
}

func ExamplePatchTCP() {
	f := exampleFrame()
	// Another initial sequence number of the peer: 500 more.
	if err := pcap.PatchTCP(f, pcap.TCPPatch{AddAck: 500}); err != nil {
		fmt.Println(err)
	}
	d := pcap.Decode(f)
	fmt.Println(d.TCP.Ack, d.TransportChecksum(f))
	// Output: 2500 good
}

func ExampleFormatDiff() {
	expected, actual := exampleFrame(), exampleFrame()
	actual[22] = 63  // the time to live
	actual[60] = 'p' // a byte of the payload
	fmt.Print(pcap.FormatDiff(pcap.Diff(expected, actual)))
	// Output:
	// field (offset)               expected                     actual
	// ip.ttl (22)                  64                           63
	// tcp.payload[6] (60)
	//   expected 48545450 2f312e31 0d0a0d0a |HTTP/1.1....|
	//   actual   70545450 2f312e31 0d0a0d0a |pTTP/1.1....|
}

func ExampleShow() {
	var s pcap.Show
	f := exampleFrame()
	fmt.Println(s.Line(&pcap.Packet{
		Number: 1, Time: time.Unix(0, 0), LinkType: pcap.LinkEthernet, Data: f, OrigLen: len(f), Direction: pcap.Outbound,
		Comments: []string{"vnr.fault=drop rule=1:loss"},
	}, pcap.Interface{Name: "client"}))
	// Output:
	//    1  0.000000000 client> 10.0.0.1.49152 > 10.0.0.2.80: [P.] 0:18 ack 1 len 18                    DROP loss
}
