package replay

import (
	"fmt"
	"io"
	"net/netip"
	"strings"
	"text/tabwriter"

	"github.com/vnreplay/vnreplay/pcap"
)

// List prints what the capture holds: endpoints, conversations, what is ignored
// and skipped. Nothing but printable text is written.
func (a *Analysis) List(w io.Writer) error {
	var b strings.Builder
	c := a.Capture
	fmt.Fprintf(&b, "%s: %s, %s, %s\n", pcap.Printable(c.Name), count(len(c.Frames), "frame"), count(len(a.Endpoints), "endpoint"), count(len(a.Conversations), "conversation"))
	if c.Cut != nil {
		fmt.Fprintf(&b, "%s\n", pcap.Printable(c.Cut.Error()))
	}
	for _, line := range c.clockLines() {
		fmt.Fprintf(&b, "%s\n", line)
	}
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	if len(a.Endpoints) > 0 {
		fmt.Fprintf(t, "\nendpoint\tMAC\tframes\tbytes\tconversations\n")
	}
	for _, e := range a.Endpoints {
		n := 0
		for _, conv := range a.Conversations {
			if conv.has(e.Addr) {
				n++
			}
		}
		fmt.Fprintf(t, "%v\t%v\t%d\t%d\t%d\n", e.Addr, e.MAC, e.Frames, e.Bytes, n)
	}
	if len(a.Conversations) > 0 {
		fmt.Fprintf(t, "\n#\tconversation\tframes\tbytes\tanswered\toutcome\n")
	}
	for _, conv := range a.Conversations {
		fmt.Fprintf(t, "%d\t%v\t%d..%d\t%d\t%d\t%s\n", conv.Number, conv, conv.First, conv.Last, conv.Bytes(0), conv.Bytes(1), conv.summary())
	}
	t.Flush()
	for _, list := range []struct {
		what  string
		skips []Skip
	}{{"\nin no conversation", a.Ignored}, {"\nnot usable", c.Skipped}} {
		for i, s := range list.skips {
			if i == 0 {
				fmt.Fprintf(&b, "%s:\n", list.what)
			}
			fmt.Fprintf(&b, "  %s\n", pcap.Printable(s.String()))
		}
	}
	for i, block := range c.Blocks {
		if i == 0 {
			fmt.Fprintf(&b, "\nno packets, and passed over:\n")
		}
		fmt.Fprintf(&b, "  %v\n", block)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// count writes a number of things.
func count(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}

func (c *Conversation) has(addr netip.Addr) bool {
	return c.Ends[0].Addr() == addr || c.Ends[1].Addr() == addr
}

// summary says how a conversation ended, or why it cannot be replayed.
func (c *Conversation) summary() string {
	if c.Reason != "" {
		return "not replayable: " + c.Reason
	}
	if c.Proto != TCP {
		for _, d := range c.Datagrams {
			if d.Unreachable {
				return "refused"
			}
		}
		return "-"
	}
	a, b := c.Streams[0], c.Streams[1]
	switch {
	case b.RST && b.syn == nil:
		return "refused"
	case a.RST:
		return "reset by the opener"
	case b.RST:
		return "reset by the other end"
	case a.FIN && b.FIN:
		return "closed"
	case a.FIN || b.FIN:
		return "half closed when the capture ends"
	}
	return "open when the capture ends"
}
