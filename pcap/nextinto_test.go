package pcap_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/vnreplay/vnreplay/pcap"
)

// TestNextIntoIsNext: every capture, whole and cut anywhere, reads the same in place and
// packet by packet, to the same error.
func TestNextIntoIsNext(t *testing.T) {
	paths, err := filepath.Glob("../fixtures/captures/*.pcap*")
	if err != nil || len(paths) == 0 {
		t.Fatal(paths, err)
	}
	recording, err := record()
	if err != nil {
		t.Fatal(err)
	}
	same := func(name string, data []byte) {
		a, errA := pcap.NewReader(bytes.NewReader(data), name)
		b, errB := pcap.NewReader(bytes.NewReader(data), name)
		if fmt.Sprint(errA) != fmt.Sprint(errB) {
			t.Fatalf("%s: %v and %v", name, errA, errB)
		}
		var in pcap.Packet
		for errA == nil {
			var p *pcap.Packet
			p, errA = a.Next()
			errB = b.NextInto(&in)
			if fmt.Sprint(errA) != fmt.Sprint(errB) {
				t.Fatalf("%s: %v and %v", name, errA, errB)
			}
			if errA == nil && !reflect.DeepEqual(*p, in) {
				t.Fatalf("%s: frame %d: %+v and %+v", name, p.Number, *p, in)
			}
		}
	}
	same("a recording", recording)
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		same(path, data)
		for n := 1; n < min(len(data), 2000); n += 97 {
			same(path, data[:len(data)-n])
		}
	}
}

func ExampleReader_NextInto() {
	recording, err := record()
	if err != nil {
		fmt.Println(err)
		return
	}
	r, err := pcap.NewReader(bytes.NewReader(recording), "recording")
	if err != nil {
		fmt.Println(err)
		return
	}
	var p pcap.Packet
	for r.NextInto(&p) == nil {
		fmt.Println(p.Number, len(p.Data))
	}
	// Output:
	// 1 60
	// 2 60
	// 3 60
}
