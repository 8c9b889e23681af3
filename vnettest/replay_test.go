package vnettest_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/vnreplay/vnreplay/pcap"
	"github.com/vnreplay/vnreplay/vnetif"
)

const original = "../fixtures/captures/10-interactive.a.pcapng"

// lineServer answers lines as the server of the capture did, or those that change
// makes of them.
func lineServer(change func(line string) string) func(context.Context, *vnetif.Host) error {
	return func(ctx context.Context, h *vnetif.Host) error {
		l, err := h.Listen("tcp", ":7010")
		if err != nil {
			return err
		}
		c, err := l.Accept()
		if err != nil {
			return err
		}
		lines := bufio.NewScanner(c)
		for lines.Scan() {
			line := lines.Text()
			if change != nil {
				line = change(line)
			}
			fmt.Fprintf(c, "> %s ok\n", line)
		}
		return c.Close()
	}
}

func TestReplay(t *testing.T) {
	dir := t.TempDir()
	data, err := os.ReadFile(original)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, capture), data, 0o666); err != nil {
		t.Fatal(err)
	}
	behead(t, filepath.Join(dir, "beheaded.pcap"), false)
	behead(t, filepath.Join(dir, "partly.pcap"), true)
	for scene, want := range map[string]struct {
		passes, goesOn, records bool
		says                    []string
	}{
		"replay_same": {passes: true},
		"replay_diverges": {goesOn: true, records: true, says: []string{
			"vnettest.Replay:\n", "diverged: talk.pcapng, live 10.77.0.2 (line server)", " differs\n", "frame 69 of talk.pcapng",
			"coverage: 0/1 conversations", "vnettest: seed 5, recording: ", "-vnettest.seed=5"}},
		"replay_fatal":            {records: true, says: []string{`what is "ls"?`}},
		"replay_panics":           {records: true, says: []string{"application 10.77.0.2 panicked after ", ": what is ls", "scenes_test.go:"}},
		"replay_error":            {goesOn: true, records: true, says: []string{"the application of 10.77.0.2 failed: no configuration"}},
		"replay_nobody":           {says: []string{"address not in the capture"}},
		"replay_nothing":          {says: []string{"vnettest.Replay: ", "missing.pcapng: no such file"}},
		"replay_no_address":       {says: []string{`Live.Addr "server": want an IP address of the capture`}},
		"replay_no_app":           {says: []string{"the App of 10.77.0.2 is nil: say what runs there"}},
		"replay_nothing_playable": {goesOn: true, says: []string{"partial: beheaded.pcap", "not replayable: conversation 1"}},
		"replay_partial":          {goesOn: true, records: true, says: []string{"partial: partly.pcap", "coverage: 1/2 conversations", "not replayable: conversation 2"}},
		"replay_allowed_partial":  {passes: true},
	} {
		t.Run(scene, func(t *testing.T) {
			p := play(t, dir, scene)
			if p.passed != want.passes {
				t.Errorf("passed: %v, want %v:\n%s", p.passed, want.passes, p.out)
			}
			p.says(t, want.says...)
			if !want.goesOn {
				p.saysNot(t, "the test went on")
			}
			if want.records {
				wireshark(t, p.recording(t))
			} else {
				p.nothingLeft(t)
			}
		})
	}
}

// behead writes the capture without its first five frames, which have the SYN in
// them, as a classic pcap file; before, if whole, all of the capture. The beheaded
// connection then has another client port.
func behead(t *testing.T, path string, whole bool) {
	t.Helper()
	file := binary.LittleEndian.AppendUint32(nil, 0xa1b23c4d) // nanoseconds
	file = append(file, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 1, 0, 0, 0)
	add := func(skip int, change func(p *pcap.Packet)) {
		r, err := pcap.Open(original)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		for p, err := range r.Packets() {
			if err != nil {
				t.Fatal(err)
			}
			if p.Number <= skip {
				continue
			}
			change(p)
			for _, v := range []int{int(p.Time.Unix()), p.Time.Nanosecond(), len(p.Data), len(p.Data)} {
				file = binary.LittleEndian.AppendUint32(file, uint32(v))
			}
			file = append(file, p.Data...)
		}
	}
	if !whole {
		add(5, func(*pcap.Packet) {})
	} else {
		add(0, func(*pcap.Packet) {})
		add(5, func(p *pcap.Packet) {
			patch := pcap.TCPPatch{SrcPort: 55025}
			if d := pcap.Decode(p.Data); d.TCP != nil && d.TCP.SrcPort == 7010 {
				patch = pcap.TCPPatch{DstPort: 55025}
			}
			pcap.PatchTCP(p.Data, patch) // what is not TCP stays as it is
			p.Time = p.Time.Add(time.Minute)
		})
	}
	if err := os.WriteFile(path, file, 0o666); err != nil {
		t.Fatal(err)
	}
}
