package main

import (
	"bytes"
	"os"
	"testing"
)

// The demo's capture is the fixture, whose origin is in fixtures/MANIFEST.md.
func TestDemoCapture(t *testing.T) {
	want, err := os.ReadFile("../../fixtures/captures/01-http-get-100k.a.pcapng")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(demoCapture, want) {
		t.Error("demo/01-http-get-100k.a.pcapng is not the fixture of that name")
	}
}
