package replay_test

import (
	"bufio"
	"context"
	"fmt"
	"net/netip"
	"os"

	"github.com/vnreplay/vnreplay/replay"
	"github.com/vnreplay/vnreplay/vnetif"
)

func ExampleAnalysis_List() {
	c, err := replay.Load("../fixtures/captures/10-interactive.a.pcapng")
	if err != nil {
		fmt.Println(err)
		return
	}
	c.Name = "10-interactive.a.pcapng"
	replay.Analyse(c).List(os.Stdout)
	// Output:
	// 10-interactive.a.pcapng: 103 frames, 2 endpoints, 1 conversation
	//
	// endpoint   MAC                frames  bytes  conversations
	// 10.77.0.1  02:00:00:77:00:01  51      2701   1
	// 10.77.0.2  02:00:00:77:00:02  49      2627   1
	//
	// #  conversation                          frames  bytes  answered  outcome
	// 1  TCP 10.77.0.1:55024 > 10.77.0.2:7010  4..103  41     71        closed
	//
	// in no conversation:
	//   1 frame (1): from an unspecified, multicast or broadcast address
	//   2 frames (2, 3): ARP
}

// The client of a capture is played against a server written in Go. It answers
// each line as the captured server did, but for one.
func ExampleRun() {
	c, err := replay.Load("../fixtures/captures/10-interactive.a.pcapng")
	if err != nil {
		fmt.Println(err)
		return
	}
	c.Name = "10-interactive.a.pcapng"
	server := func(ctx context.Context, h *vnetif.Host) error {
		l, err := h.Listen("tcp", ":7010")
		if err != nil {
			return err
		}
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		lines := bufio.NewScanner(conn)
		for lines.Scan() {
			answer := "> " + lines.Text() + " ok\n"
			if lines.Text() == "uptime" {
				answer = "> uptime: 3 days\n"
			}
			fmt.Fprint(conn, answer)
		}
		return conn.Close()
	}
	report, err := replay.Run(context.Background(), replay.Analyse(c), replay.Options{
		Live: []replay.Live{{Addr: netip.MustParseAddr("10.77.0.2"), Name: "line server", App: server}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	report.Print(os.Stdout)
	// Output:
	// diverged: 10-interactive.a.pcapng, live 10.77.0.2 (line server)
	// first divergence: byte 48 differs
	//   conversation 1: TCP 10.77.0.1:55024 > 10.77.0.2:7010
	//   frame 69 of 10-interactive.a.pcapng (at 2.623116s); at 2.623167s of the replay
	//   10.77.0.2:7010 > 10.77.0.1:55024, stream offset 48
	//   expected                           | actual (< from the live side)
	//       66 < [.] ack 27 win 64         |     65 < [.] ack 27 win 4095
	//       67 > [P.] 27:28 ack 41 len 1   |     66 > [P.] 27:28 ack 41 len 1
	//       68 < [.] ack 28 win 64         |     67 < [.] ack 28 win 4095
	//   !   69 < [P.] 41:53 ack 28 len 12  | !   68 < [P.] 41:58 ack 28 len 17
	//       70 > [.] ack 53 win 63         |     69 > [R.] seq 28 ack 49 win 63
	//       71 > [P.] 28:29 ack 53 len 1   |
	//   expected         40  3e207570 74696d65 206f6b0a 3e206361 |> uptime ok.> ca|
	//   actual           40  3e207570 74696d65 3a203320 64617973 |> uptime: 3 days|
	//                                          ^^^^^^^^ ^^^^^^^^          ^^^^^^^^
	//   expected         56  74202f65 74632f6d 6f746420 6f6b0a   |t /etc/motd ok.|
	//   actual           56  0a                                  |.|
	//                        ^^^^                                 ^^
	// coverage: 0/1 conversations, 66.9 % of 112 bytes
	// normalised: isn 1, segmentation 1, window 1
	// live side: 5 segments with data or FIN, 0 retransmissions; played side: 0 synthetic acknowledgements
	// time: 2.623167s virtual, 3.927331s in the capture; seed 0
	// Wireshark: ip.addr == 10.77.0.1 && ip.addr == 10.77.0.2 && tcp.port == 55024 && tcp.port == 7010
}
