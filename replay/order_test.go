package replay_test

import (
	"context"
	"net"
	"strings"
	"testing"

	"github.com/vnreplay/vnreplay/replay"
	"github.com/vnreplay/vnreplay/vnetif"
)

// TestParallelOrder has a client open its connections in another order than in the
// capture: all at once, or one after the other, each with its own request.
func TestParallelOrder(t *testing.T) {
	client := func(oneByOne bool, order ...string) func() replay.App {
		return func() replay.App {
			return func(ctx context.Context, h *vnetif.Host) error {
				var cs []net.Conn
				for range order {
					c, err := h.DialContext(ctx, "tcp", serverAddr+":80")
					if err != nil {
						return err
					}
					cs = append(cs, c)
					if oneByOne {
						c.Write([]byte("request " + order[len(cs)-1] + "\n"))
						hear(c, 10)
					}
				}
				for i, o := range order {
					if !oneByOne {
						cs[i].Write([]byte("request " + o + "\n"))
						hear(cs[i], 10)
					}
				}
				for _, c := range cs {
					c.Close()
				}
				return nil
			}
		}
	}
	server := serves(func(h *vnetif.Host, c *vnetif.Conn) {
		h.World().Background("serves", func(context.Context) error { b := hear(c, 10); c.Write(b); drain(c); c.Close(); return nil })
	})
	for _, oneByOne := range []bool{false, true} {
		a := record(t, pair{name: "parallel", client: client(oneByOne, "a", "b", "c"), server: server}, 1)
		for _, o := range []struct {
			order []string
			same  bool
		}{
			{[]string{"a", "b", "c"}, true}, {[]string{"c", "a", "b"}, true}, {[]string{"b", "c", "a"}, true}, {[]string{"c", "b", "a"}, true},
			{[]string{"a", "b", "d"}, false}, {[]string{"c", "c", "a"}, false}, {[]string{"b", "a"}, false}, {[]string{"b", "a", "c", "c"}, false},
		} {
			r := run(t, a, clientAddr, func(op *replay.Options) { op.Live[0].App = client(oneByOne, o.order...)(); op.Seed = 77 })
			if s := text(t, r); (r.Verdict == replay.Same) != o.same || o.same && o.order[0] != "a" && !strings.Contains(s, "connection-order") {
				t.Errorf("order %v, one by one %v: want the same %v:\n%s", o.order, oneByOne, o.same, s)
			}
		}
	}
}
