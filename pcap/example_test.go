package pcap_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"

	"github.com/vnreplay/vnreplay/pcap"
	vswitch "github.com/vnreplay/vnreplay/switch"
)

// record runs a world with two ports, in which the second of three frames is
// lost, and returns its recording.
func record() ([]byte, error) {
	var b bytes.Buffer
	rec, err := pcap.NewRecorder(&b, pcap.Meta{Seed: 7, Rules: []string{"drop nth 2"}})
	if err != nil {
		return nil, err
	}
	w := vswitch.NewWorld(vswitch.Config{Seed: 7})
	defer w.Close()
	sw, err := w.NewSwitch(vswitch.SwitchConfig{Recorder: rec})
	if err != nil {
		return nil, err
	}
	sw.AddRule("", vswitch.RuleFunc(func(f *vswitch.Frame, to *vswitch.Port) vswitch.Verdict {
		return vswitch.Verdict{Drop: to == nil && f.Seq == 2}
	}))
	nobody := vswitch.EndpointFunc(func([]byte) {})
	client, err := sw.Connect(vswitch.PortConfig{Name: "client"}, nobody)
	if err != nil {
		return nil, err
	}
	server, err := sw.Connect(vswitch.PortConfig{Name: "server"}, nobody)
	if err != nil {
		return nil, err
	}
	err = w.Run(context.Background(), func(context.Context) error {
		for range 3 {
			if err := client.Send(ether(server.MAC(), client.MAC(), 60)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := rec.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// open is a reader of a recording in memory.
func open() *pcap.Reader {
	b, err := record()
	if err != nil {
		panic(err)
	}
	r, err := pcap.NewReader(bytes.NewReader(b), "run.pcapng")
	if err != nil {
		panic(err)
	}
	return r
}

func ExampleRecorder() {
	for p, err := range open().Packets() {
		if err != nil {
			fmt.Println(err)
			break
		}
		fmt.Println(p.Number, p.Direction, p.Comments)
	}
	// Output:
	// 1 outbound []
	// 2 outbound [vnr.fault=drop rule=1]
	// 3 outbound []
}

func ExampleDeliveries() {
	for d, err := range pcap.Deliveries(open()) {
		if err != nil {
			fmt.Println(err)
			break
		}
		fmt.Println(d.Time.Format("15:04:05.000000"), d.Port, "got frame", d.Frame.Number)
	}
	// Output:
	// 00:00:00.000050 server got frame 1
	// 00:00:00.000050 server got frame 3
}

func ExampleBalance() {
	b, err := pcap.Balance(open(), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("to receive:", b.Total.Receivers+b.Total.Copies)
	fmt.Println("delivered:", b.Total.Delivered, "lost by rules:", b.Total.Lost[vswitch.DroppedByRule])
	fmt.Println("agrees with the switch:", b.Check() == nil)
	// Output:
	// to receive: 3
	// delivered: 2 lost by rules: 1
	// agrees with the switch: true
}

func ExampleViewAt() {
	var b bytes.Buffer
	if err := pcap.ViewAt(&b, open(), "server"); err != nil {
		fmt.Println(err)
		return
	}
	r, err := pcap.NewReader(&b, "at-server.pcapng")
	if err != nil {
		fmt.Println(err)
		return
	}
	for p, err := range r.Packets() {
		fmt.Println(p.Time.Format("15:04:05.000000"), p.Direction, p.ID, err)
	}
	// Output:
	// 00:00:00.000050 inbound 1 <nil>
	// 00:00:00.000050 inbound 3 <nil>
}

func ExampleCompare() {
	c, err := pcap.Compare(open(), open()) // two runs of the same world
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(c.Frames, "frames are equal; difference:", c.Difference)
	// Output:
	// 3 frames are equal; difference: <nil>
}

// A capture moves to another network; what is wrong in it stays wrong.
func ExampleRewriter() {
	in, err := os.Open("../fixtures/captures/10-interactive.a.pcapng")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer in.Close()
	network, err := pcap.MapIP("10.77.0.0/24=192.0.2.0/24")
	if err != nil {
		fmt.Println(err)
		return
	}
	r, err := pcap.NewRewriter(pcap.FixKeep, network)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := r.Copy(io.Discard, in, in.Name(), pcap.SameFormat); err != nil {
		fmt.Println(err)
		return
	}
	report := r.Report()
	fmt.Printf("%d of %d frames changed, %v in %d\n", report.Changed, report.Frames, report.Mappings[0].Mapping, report.Mappings[0].Frames)
	// Output:
	// 102 of 103 frames changed, ip 10.77.0.0/24=192.0.2.0/24 in 102
}
