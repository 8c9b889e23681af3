package tap_test

import (
	"context"
	"strings"
	"testing"
	"time"

	vswitch "github.com/vnreplay/vnreplay/switch"
	"github.com/vnreplay/vnreplay/tap"
)

// Two kernels reach each other through a switch, and a TAP device that is removed while
// they do is the end of its link, and of nothing else.
func TestKernelsMeetOnASwitch(t *testing.T) {
	needTUN(t)
	sw := live(t)
	a, b := newNamespace(t), newNamespace(t)
	var links []*tap.Link
	for i, ns := range []*namespace{a, b} {
		ns.sh("ip link set lo up")
		dev := ns.open("tap:vnr" + string(rune('0'+i)))
		ns.sh("ip addr add 10.9.0." + string(rune('1'+i)) + "/24 dev " + dev.Name())
		l, err := tap.Connect(sw, vswitch.PortConfig{}, dev)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		if l.Port().MAC() != dev.(tap.Addressed).MAC() {
			t.Errorf("port %s has MAC %s, the interface %s", l.Port().Name(), l.Port().MAC(), dev.(tap.Addressed).MAC())
		}
		links = append(links, l)
	}
	err := sw.World().Run(t.Context(), func(ctx context.Context) error {
		ping(t, a, "10.9.0.1", "10.9.0.2", 1, []byte(strings.Repeat("x", 1472)))
		ping(t, b, "10.9.0.2", "10.9.0.1", 2, []byte("hello"))
		sendTCP(t, a, b, "10.9.0.2", letters(300_000))
		a.sh("ip link del vnr0")
		select {
		case <-links[0].Done():
		case <-time.After(20 * time.Second):
			t.Error("the link goes on without its interface")
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if err := links[0].Err(); err == nil || !strings.Contains(err.Error(), "interface vnr0 was removed") {
		t.Errorf("the link ended with %v", err)
	}
	if err := links[1].Err(); err != nil {
		t.Errorf("the other link ended with %v", err)
	}
	<-links[1].Done()
}
