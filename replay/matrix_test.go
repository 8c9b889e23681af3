package replay_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/vnreplay/vnreplay/replay"
)

// TestMatrix replays every capture with every address live, and with all servers
// and all clients, and keeps the outcome as a page to read.
func TestMatrix(t *testing.T) {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "capture\tlive\tresult\tconversations\tbytes\twhy, or what was normalised")
	for _, name := range files {
		a := load(t, name)
		words := []string{replay.AllServers, replay.AllClients}
		for _, e := range a.Endpoints {
			words = append(words, e.Addr.String())
		}
		for _, word := range words {
			addrs, err := a.Choose(word)
			if err != nil {
				continue
			}
			r := run(t, a, addrs[0].String(), func(o *replay.Options) {
				for _, addr := range addrs[1:] {
					o.Live = append(o.Live, replay.Live{Addr: addr})
				}
			})
			same, of, bytes, ofBytes := r.Coverage()
			fmt.Fprintf(w, "%s\t%s\t%v\t%d/%d\t%d/%d\t%s\n", name, word, r.Verdict, same, of, bytes, ofBytes, why(r))
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	golden(t, "matrix.golden", b.String())
}

// why says in a line what came of a replay.
func why(r *replay.Report) string {
	var s []string
	if len(r.Divergences) > 0 {
		return r.Divergences[0].Kind + ": " + r.Divergences[0].Text
	}
	for _, c := range r.Unplayable {
		if !slices.Contains(s, c.Reason) {
			s = append(s, c.Reason)
		}
	}
	if len(r.Conversations) == 0 && len(s) == 0 {
		s = append(s, fmt.Sprintf("no conversation with one live end (%d without, %d with two)", r.NoneLive, r.BothLive))
	}
	for _, n := range r.Normalised {
		s = append(s, fmt.Sprintf("%s %d", n.Name, n.N))
	}
	if r.Retransmits+r.Synthetic > 0 {
		s = append(s, fmt.Sprintf("retransmissions %d, synthetic acks %d", r.Retransmits, r.Synthetic))
	}
	return strings.Join(s, ", ")
}
