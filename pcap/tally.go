package pcap

import (
	"cmp"
	"slices"
)

// Tally counts by rule what the comments of frames tell of faults. The zero value
// is ready for use.
type Tally struct {
	rules map[int]*RuleTally
}

// RuleTally is what one rule did: numbers of frames, each counted once in each
// field that applies.
type RuleTally struct {
	Rule       int    `json:"rule"` // its number
	Name       string `json:"name,omitempty"`
	Frames     uint64 `json:"frames"` // in any way
	Dropped    uint64 `json:"dropped"`
	Duplicated uint64 `json:"duplicated"`
	Corrupted  uint64 `json:"corrupted"`
	Truncated  uint64 `json:"truncated"`
	Padded     uint64 `json:"padded"`
	Delayed    uint64 `json:"delayed"`
	Reordered  uint64 `json:"reordered"`

	seen [len(faultWords)]bool // for the frame being counted
}

// Add counts one frame by its comments. Comments that are not those of a fate
// count nothing.
func (t *Tally) Add(comments []string) {
	fate, err := ParseFate(comments)
	if err != nil {
		return
	}
	for _, r := range t.rules {
		r.seen = [len(faultWords)]bool{}
	}
	for i := range fate.Faults {
		f := &fate.Faults[i]
		r := t.rules[f.Rule]
		if r == nil {
			if t.rules == nil {
				t.rules = map[int]*RuleTally{}
			}
			r = &RuleTally{Rule: f.Rule, Name: f.Name}
			t.rules[f.Rule] = r
		}
		r.count(f.Kind)
	}
}

// count counts a frame to which the rule did that, once.
func (r *RuleTally) count(k FaultKind) {
	if r.seen == [len(faultWords)]bool{} {
		r.Frames++
	}
	if r.seen[k] {
		return
	}
	r.seen[k] = true
	*r.field(k)++
}

func (r *RuleTally) field(k FaultKind) *uint64 {
	return [...]*uint64{
		FaultDrop: &r.Dropped, FaultDup: &r.Duplicated, FaultCorrupt: &r.Corrupted, FaultTruncate: &r.Truncated,
		FaultPad: &r.Padded, FaultDelay: &r.Delayed, FaultReorder: &r.Reordered,
	}[k]
}

// Rules returns what was counted, by the numbers of the rules.
func (t *Tally) Rules() []RuleTally {
	rules := []RuleTally{}
	for _, r := range t.rules {
		rules = append(rules, *r)
	}
	slices.SortFunc(rules, func(a, b RuleTally) int { return cmp.Compare(a.Rule, b.Rule) })
	return rules
}
