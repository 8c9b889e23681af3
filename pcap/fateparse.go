package pcap

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	vswitch "github.com/vnreplay/vnreplay/switch"
)

// maxCopies bounds the copies that one clause of a file may claim.
const maxCopies = 65535

// ParseFate reads what became of a frame from its comments. Comments that do not
// start with "vnr." are kept in Foreign. A clause that is malformed, or unknown
// (a newer version may have written it), is an error that names it: nobody can
// tell what became of that frame.
func ParseFate(comments []string) (Fate, error) {
	var f Fate
	to := false
	for _, c := range comments {
		if !isFateComment(c) {
			f.Foreign = append(f.Foreign, c)
			continue
		}
		if err := f.parse(c, &to); err != nil {
			return Fate{}, fmt.Errorf("comment %s: %w", clip(c), err)
		}
	}
	return f, nil
}

// clip quotes text of a file for a message.
func clip(s string) string {
	if len(s) > 80 {
		return strconv.QuoteToASCII(s[:80]) + "…"
	}
	return strconv.QuoteToASCII(s)
}

func (f *Fate) parse(clause string, to *bool) error {
	head, rest, _ := strings.Cut(clause, " ")
	key, value, _ := strings.Cut(head, "=")
	switch key {
	case "vnr.to":
		return f.parseTo(value, rest, to)
	case "vnr.fault":
		return f.parseFault(value, rest)
	case "vnr.lost":
		l := Lost{}
		var ok bool
		if l.Cause, ok = lossNamed(value); !ok {
			return fmt.Errorf("unknown cause %s", clip(value))
		}
		if err := eachWord(rest, func(key, value string) (err error) {
			if key != "at" {
				return errUnknownKey
			}
			l.At, err = parseName(value)
			return err
		}); err != nil {
			return err
		}
		f.Lost = append(f.Lost, l)
	case "vnr.queued":
		q := Queued{}
		for d := range strings.SplitSeq(value, ",") {
			by, err := time.ParseDuration(d)
			if err != nil {
				return fmt.Errorf("%s is no duration", clip(d))
			}
			q.By = append(q.By, by)
		}
		if len(q.By) > maxCopies {
			return fmt.Errorf("more than %d copies", maxCopies)
		}
		if err := eachWord(rest, func(key, value string) (err error) {
			if key != "at" {
				return errUnknownKey
			}
			q.At, err = parseName(value)
			return err
		}); err != nil {
			return err
		}
		f.Queued = append(f.Queued, q)
	case "vnr.change":
		c, err := parseChange(value, rest)
		if err != nil {
			return err
		}
		f.Changes = append(f.Changes, c)
	default:
		return fmt.Errorf("unknown clause; written by a newer version?")
	}
	return nil
}

// changes are the words of vnr.change, each with what it is about.
var changes = map[string]struct {
	what vswitch.Change
	port bool
}{
	"added": {vswitch.RuleAdded, false}, "removed": {vswitch.RuleRemoved, false},
	"on": {vswitch.RuleOn, false}, "off": {vswitch.RuleOff, false},
	"up": {vswitch.CableUp, true}, "down": {vswitch.CableDown, true},
}

func parseChange(word, rest string) (Change, error) {
	kind, ok := changes[word]
	if !ok {
		return Change{}, fmt.Errorf("unknown change %s", clip(word))
	}
	c := Change{What: kind.what}
	if kind.what == vswitch.RuleAdded {
		var text string
		if rest, text, ok = strings.Cut(rest, changeText); ok {
			if c.Text, ok = unquoteText(text); !ok {
				return Change{}, fmt.Errorf("text %s is no quoted string", clip(text))
			}
		}
	}
	about, at := false, false
	err := eachWord(rest, func(key, value string) (err error) {
		switch {
		case key == "rule" && !kind.port && !about:
			about = true
			c.Rule, c.Name, err = parseRule(value)
		case key == "port" && kind.port && !about:
			about = true
			c.Port, err = parseName(value)
		case key == "time" && !at:
			at = true
			if c.Time, err = time.Parse(time.RFC3339Nano, value); err == nil && (c.Time.Year() < 1600 || c.Time.Year() > 2600) {
				err = fmt.Errorf("no recording has that time")
			}
			c.Time = c.Time.UTC()
		default:
			err = errUnknownKey
		}
		return err
	})
	if err == nil && (!about || !at) {
		err = fmt.Errorf("a change needs its rule= or port=, and time=")
	}
	return c, err
}

// parseRule reads the number of a rule and, if it has one, its name: 2:loss.
func parseRule(value string) (number int, name string, err error) {
	digits, name, named := strings.Cut(value, ":")
	if number, err = strconv.Atoi(digits); err != nil || number < 0 {
		return 0, "", fmt.Errorf("no rule number")
	}
	if named {
		name, err = parseName(name)
	}
	return number, name, err
}

// errUnknownKey: a word of a clause that does not belong there.
var errUnknownKey = fmt.Errorf("does not belong here")

// eachWord calls fn for the words key=value of s.
func eachWord(s string, fn func(key, value string) error) error {
	for word := range strings.FieldsSeq(s) {
		key, value, ok := strings.Cut(word, "=")
		if !ok {
			return fmt.Errorf("%s: want key=value", clip(word))
		}
		if err := fn(key, value); err != nil {
			return fmt.Errorf("%s: %w", clip(word), err)
		}
	}
	return nil
}

func (f *Fate) parseTo(value, rest string, seen *bool) error {
	kind := ToNames
	switch value {
	case "all":
		kind = ToAll
	case "none":
		kind = ToNone
	}
	if rest != "" {
		return fmt.Errorf("%s %w", clip(rest), errUnknownKey)
	}
	if *seen && (kind != ToNames || f.To != ToNames) {
		return fmt.Errorf("contradicts an earlier one")
	}
	*seen, f.To = true, kind
	if kind != ToNames {
		return nil
	}
	for name := range strings.SplitSeq(value, ",") {
		n, err := parseName(name)
		if err != nil {
			return err
		}
		f.Names = append(f.Names, n)
	}
	return nil
}

func (f *Fate) parseFault(word, rest string) error {
	var ft Fault
	for ft.Kind = 0; int(ft.Kind) < len(faultWords) && ft.Kind.String() != word; ft.Kind++ {
	}
	if int(ft.Kind) == len(faultWords) {
		return fmt.Errorf("unknown fault %s", clip(word))
	}
	have := map[string]bool{}
	err := eachWord(rest, func(key, value string) (err error) {
		if have[key] {
			return fmt.Errorf("twice")
		}
		have[key] = true
		switch {
		case key == "rule":
			ft.Rule, ft.Name, err = parseRule(value)
		case key == "at":
			ft.At, err = parseName(value)
		case key == "reason":
			ft.Reason, err = parseName(value)
		case key == "copies" && ft.Kind == FaultDup:
			ft.Copies, err = parseCount(value, 0, maxCopies)
		case key == "gap" && ft.Kind == FaultDup:
			ft.Gap, err = time.ParseDuration(value)
		case key == "by" && ft.Kind == FaultDelay:
			ft.By, err = time.ParseDuration(value)
		case key == "to" && ft.Kind == FaultTruncate:
			ft.Size, err = parseCount(value, vswitch.HeaderLen, maxFrame)
		case key == "bytes" && ft.Kind == FaultPad:
			ft.Size, err = parseCount(value, 1, vswitch.MaxPad)
		case key == "behind" && ft.Kind == FaultReorder:
			ft.Behind, err = parseCount(value, 1, vswitch.MaxBehind)
		case key == "within" && ft.Kind == FaultReorder:
			ft.Within, err = time.ParseDuration(value)
		case key == "bytes" && ft.Kind == FaultCorrupt:
			ft.Edits, err = parseEdits(value)
		default:
			err = errUnknownKey
		}
		return err
	})
	if err != nil {
		return err
	}
	need := [...]string{FaultDrop: "rule", FaultDup: "copies", FaultCorrupt: "bytes", FaultDelay: "by",
		FaultTruncate: "to", FaultPad: "bytes", FaultReorder: "behind"}[ft.Kind]
	switch {
	case !have["rule"] || !have[need]:
		return fmt.Errorf("a %v needs rule= and %s=", ft.Kind, need)
	case ft.Kind == FaultReorder && ft.Within <= 0:
		return fmt.Errorf("a reorder needs within=, more than 0")
	}
	f.Faults = append(f.Faults, ft)
	return nil
}

// maxFrame is the longest frame there is, in bytes.
const maxFrame = vswitch.HeaderLen + 4 + vswitch.MaxMTU

// parseCount reads a number from least to most.
func parseCount(s string, least, most int) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < least || n > most {
		return 0, fmt.Errorf("want %d to %d", least, most)
	}
	return n, nil
}

// parseEdits reads @66:4f>4e,@70:00ff>0100.
func parseEdits(s string) ([]vswitch.Edit, error) {
	var edits []vswitch.Edit
	for piece := range strings.SplitSeq(s, ",") {
		at, change, ok := strings.Cut(piece, ":")
		old, now, ok2 := strings.Cut(change, ">")
		if !ok || !ok2 || !strings.HasPrefix(at, "@") {
			return nil, fmt.Errorf("%s: want @OFFSET:OLD>NEW", clip(piece))
		}
		var e vswitch.Edit
		offset, err := strconv.ParseUint(at[1:], 10, 31)
		if err != nil {
			return nil, fmt.Errorf("%s: no offset", clip(piece))
		}
		e.Offset = int(offset)
		if e.Old, err = hex.DecodeString(old); err == nil {
			e.New, err = hex.DecodeString(now)
		}
		if err != nil || len(e.Old) != len(e.New) {
			return nil, fmt.Errorf("%s: want as many bytes, in hex, after > as before", clip(piece))
		}
		edits = append(edits, e)
	}
	return edits, nil
}

func parseName(s string) (string, error) {
	name, ok := unescape(s)
	if !ok || name == "" {
		return "", fmt.Errorf("%s is no name", clip(s))
	}
	return name, nil
}

// unescape undoes escape.
func unescape(s string) (string, bool) {
	if strings.IndexByte(s, '%') < 0 {
		return s, true
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b = append(b, s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", false
		}
		v, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
		if err != nil {
			return "", false
		}
		b = append(b, byte(v))
		i += 2
	}
	return string(b), true
}

// isFateComment reports whether a comment is meant to be ours.
func isFateComment(c string) bool { return strings.HasPrefix(c, "vnr.") }

// unquoteText reads what clauseText wrote.
func unquoteText(s string) (string, bool) {
	if !strings.HasPrefix(s, `"`) {
		return s, true
	}
	text, err := strconv.Unquote(s)
	return text, err == nil
}
