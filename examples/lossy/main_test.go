package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// The run is the same every time: what it says, and every byte of its recording.
func TestTransferRepeats(t *testing.T) {
	said, recorded := run(t)
	t.Log(said)
	again, recordedAgain := run(t)
	if said != again {
		t.Errorf("two runs differ:\n%s\n%s", said, again)
	}
	if !bytes.Equal(recorded, recordedAgain) {
		t.Error("two recordings differ")
	}
	const want = "1048576 bytes arrived, "
	if len(said) < len(want) || said[:len(want)] != want {
		t.Errorf("the transfer says %q, want %q…", said, want)
	}
	if n := bytes.Count(recorded, []byte("vnr.fault=drop")); n < 50 {
		t.Errorf("the recording shows %d lost frames", n)
	}
}

func run(t *testing.T) (said string, recorded []byte) {
	path := filepath.Join(t.TempDir(), "lossy.pcapng")
	said = transfer(path)
	recorded, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return said, recorded
}
