package vswitch

import (
	"cmp"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A queue gives its events in their order, whatever is moved and taken out meanwhile: as a
// list that is sorted each time does.
func TestEventQueueIsASortedList(t *testing.T) {
	order := func(a, b *event) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.class, b.class), cmp.Compare(a.owner, b.owner),
			cmp.Compare(a.object, b.object), cmp.Compare(a.seq, b.seq))
	}
	rapid.Check(t, func(t *rapid.T) {
		var q eventQueue
		var list []*event
		seq := uint64(0)
		movable := func() *event {
			some := slices.DeleteFunc(slices.Clone(list), func(ev *event) bool { return !ev.mayMove() })
			if len(some) == 0 {
				return nil
			}
			return rapid.SampledFrom(some).Draw(t, "event")
		}
		drop := func(ev *event) { list = slices.DeleteFunc(list, func(x *event) bool { return x == ev }) }
		for range rapid.IntRange(1, 200).Draw(t, "operations") {
			switch rapid.IntRange(0, 5).Draw(t, "operation") {
			case 0, 1, 2:
				seq++
				ev := &event{at: rapid.Int64Range(0, 5).Draw(t, "at"), owner: rapid.IntRange(-1, 3).Draw(t, "owner"), seq: seq}
				switch rapid.IntRange(0, 2).Draw(t, "kind") {
				case 0:
					ev.port = &Port{}
				case 1:
					ev.port, ev.held = &Port{}, &held{}
				default:
					ev.class = rapid.SampledFrom([]class{classStack, classApp}).Draw(t, "class")
					ev.object = rapid.Uint64Range(0, 2).Draw(t, "object")
				}
				q.push(ev)
				list = append(list, ev)
			case 3:
				if ev := movable(); ev != nil {
					ev.at = rapid.Int64Range(0, 5).Draw(t, "new at")
					ev.held = nil
					q.fix(ev)
				}
			case 4:
				if ev := movable(); ev != nil {
					q.remove(ev)
					drop(ev)
				}
			case 5:
				if rapid.IntRange(0, 9).Draw(t, "all of one") == 0 {
					owner := rapid.IntRange(-1, 3).Draw(t, "owner")
					of := func(ev *event) bool { return ev.owner == owner }
					q.removeAll(of)
					list = slices.DeleteFunc(list, of)
				}
			}
			slices.SortFunc(list, order)
			if q.len() != len(list) || len(list) > 0 && q.first() != list[0] {
				t.Fatalf("%d events, the list has %d, or another is first", q.len(), len(list))
			}
		}
		for _, want := range list {
			if got := q.pop(); got != want || got.index != -1 {
				t.Fatalf("%+v, want %+v", got, want)
			}
		}
	})
}
