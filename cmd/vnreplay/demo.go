package main

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"io"
	"net/netip"

	"github.com/urfave/cli/v2"

	"github.com/vnreplay/vnreplay/pcap"
	"github.com/vnreplay/vnreplay/replay"
	"github.com/vnreplay/vnreplay/scenario"
	"github.com/vnreplay/vnreplay/switch"
)

//go:embed demo/lossy.yaml
var demoScenario []byte

// demoCapture is tcpdump's, of curl fetching 100,000 bytes between two Linux
// network namespaces; fixtures/MANIFEST.md says where it comes from.
//
//go:embed demo/01-http-get-100k.a.pcapng
var demoCapture []byte

// demoServer is the side of demoCapture that the demo makes live.
var demoServer = netip.MustParseAddr("10.77.0.2")

func demoCommand() *cli.Command {
	return &cli.Command{
		Name:      "demo",
		Usage:     "record, break, verify and replay, in a second",
		UsageText: "vnreplay demo [-w FILE]",
		Description: "Records an HTTP transfer over a switch that drops, duplicates and corrupts,\n" +
			"verifies the recording, and replays a real captured client against a live\n" +
			"server.\n\n" +
			"Example: vnreplay demo && wireshark vnreplay-demo.pcapng",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "w", Value: "vnreplay-demo.pcapng", Usage: "write the recording to `FILE`"},
		},
		Action: func(c *cli.Context) error {
			if err := wantArgs(c, 0, 0, ""); err != nil {
				return err
			}
			if c.String("w") == "-" {
				return usage("demo writes text to the standard output: give -w a file")
			}
			ctx, g := newGuard(c.Context, c.App.ErrWriter, grace)
			defer g.stop()
			return demo(ctx, g, c.App.Writer, c.String("w"))
		},
	}
}

func demo(ctx context.Context, g *guard, w io.Writer, path string) error {
	fmt.Fprintf(w, "1. Record: a client fetches 1 MB over HTTP; the switch breaks the connection.\n\n")
	s, err := scenario.Parse(demoScenario, "demo")
	if err != nil {
		return err
	}
	rec, err := pcap.Create(linked(path), s.Metas()[0])
	if err != nil {
		return fmt.Errorf("recording: %w", err)
	}
	g.leaves(rec.Written())
	res, err := scenario.Run(ctx, s, scenario.Options{Recorders: []vswitch.Recorder{rec}})
	if cerr := rec.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	out := runOutcome{Scenario: "demo", Result: res, Recording: path, Whole: true}
	if err := out.write(w); err != nil {
		return err
	}
	if !res.OK() {
		return quiet{exitFailed}
	}
	sum := res.Affected
	fmt.Fprintf(w, "\n   Dropped %s, duplicated %d, corrupted %d. The file arrived all the\n"+
		"   same, after %v on the world's clock; that took %v.\n\n",
		count(sum.Dropped, "frame"), sum.Duplicated, sum.Corrupted, round(res.Virtual), round(res.Wall))

	fmt.Fprintf(w, "2. Verify: run again what the recording carries, compare every frame.\n\n   ")
	v := verifyFile(ctx, path, 0)
	v.write(w, w)
	if v.status != exitOK {
		return quiet{v.status}
	}

	fmt.Fprintf(w, "\n3. Replay: a client captured on Linux with tcpdump talks to a live server.\n\n")
	report, err := demoReplay(ctx)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := report.Print(&text); err != nil {
		return err
	}
	for line := range bytes.Lines(text.Bytes()) {
		fmt.Fprintf(w, "   %s", line)
	}
	if report.Verdict != replay.Same {
		return quiet{int(report.Verdict)}
	}
	_, err = fmt.Fprintf(w, `
Next:
  wireshark %[1]s        (filter: frame.comment contains "vnr.fault")
  vnreplay show %[1]s | grep -E 'DROP|DUP|CORR'
  vnreplay view %[1]s --at client -w client.pcapng
  vnreplay faults extract %[1]s
`, pcap.Printable(path))
	return err
}

// demoReplay plays the captured client against a live server: the stack is
// real, and so is the server that reads its requests.
func demoReplay(ctx context.Context) (*replay.Report, error) {
	r, err := pcap.NewReader(bytes.NewReader(demoCapture), "01-http-get-100k.a.pcapng")
	if err != nil {
		return nil, err
	}
	capture, err := replay.Read(r, r.Name())
	if err != nil {
		return nil, err
	}
	a := replay.Analyse(capture)
	live := serveAnswers(replay.Live{Addr: demoServer}, tcpPorts(a, demoServer), capturedAnswers(a, demoServer))
	return replay.Run(ctx, a, replay.Options{Live: []replay.Live{live}})
}
