package tap_test

import (
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// pcapFile writes frames to a file that Wireshark reads.
func pcapFile(t *testing.T, frames [][]byte) string {
	t.Helper()
	path := t.TempDir() + "/frames.pcap"
	if err := os.WriteFile(path, pcapBytes(frames), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// pcapBytes is a file of the classic format with link type Ethernet.
func pcapBytes(frames [][]byte) (out []byte) {
	for _, n := range []uint32{0xa1b2c3d4, 2<<16 | 4, 0, 0, 1 << 18, 1} {
		out = binary.BigEndian.AppendUint32(out, n)
	}
	for i, frame := range frames {
		for _, n := range []uint32{uint32(i / 1e6), uint32(i % 1e6), uint32(len(frame)), uint32(len(frame))} {
			out = binary.BigEndian.AppendUint32(out, n)
		}
		out = append(out, frame...)
	}
	return out
}

// tshark prints fields of the frames that a filter selects, a line each.
func tshark(t *testing.T, path, filter string, fields ...string) []string {
	t.Helper()
	need(t, "tshark")
	args := []string{"-r", path, "-Y", filter, "-T", "fields", "-E", "separator=|"}
	for _, proto := range []string{"ip", "tcp", "udp"} {
		args = append(args, "-o", proto+".check_checksum:TRUE")
	}
	for _, f := range fields {
		args = append(args, "-e", f)
	}
	out, err := exec.Command("tshark", args...).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("tshark: %v: %s", err, exit.Stderr)
		}
		t.Fatal(err)
	}
	return strings.Fields(string(out))
}
