package pcap

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Meta says what a recording is a recording of. It is the comment of the section
// header, or the comments, which Wireshark shows under Capture File Properties.
type Meta struct {
	Version  string   // of vnreplay
	Stack    string   // version of the network stack
	Go       string   // version of Go
	Seed     uint64   // of the world
	Clock    string   // "virtual" or "real"
	View     string   // "wire"; views say "at NAME", "full"
	Switch   string   // the name of the switch, where the scenario has several
	Rules    []string // texts of the fault rules, in order: rule 1 first
	Scenario string   // the effective scenario file, byte for byte; "" when there is none

	// Of a capture that begins in the middle of a run (a further file of a [Rotation], a
	// stream of a [Broadcaster]), what held there; rules that were added by then are
	// among Rules.
	File    int      // its number among the files of the run, from 1; 0: it is the only one
	After   uint64   // how many frames had entered the world before: the packet id of the last
	Off     []int    // numbers of the rules that were off
	Removed []int    // and of those that were removed
	Down    []string // names of the ports whose cables were down
}

// MaxMeta is the longest text of a [Meta] in bytes. Wireshark would open longer
// section headers; of more than 1 MiB, tcpdump and what else uses libpcap do not
// (as of 1.10): "invalid length … BT_SHB_INSANE_MAX".
const MaxMeta = 1_000_000

// ErrMetaTooLong: the text of a [Meta] exceeds [MaxMeta]. Compare with [errors.Is].
var ErrMetaTooLong = errors.New("too long for a section header")

// ErrNoMeta: a text holds no [Meta]. Compare with [errors.Is].
var ErrNoMeta = errors.New("no run described")

// metaFirst is the first line of the text; its number is the version of the format.
const metaFirst = "vnreplay.recording=1"

// Marshal returns the text of m, in one comment if it fits: a first line "vnreplay.recording=1", a line
// key=value for each field that is set (Seed always), a line "rule.N=" for each
// rule, and last "scenario.bytes=N" with exactly N bytes of scenario on the lines
// that follow. A value (or scenario) that holds other than printable characters
// (and, in a scenario, tabs and newlines), or that starts with a double quote, is
// written as a Go string literal instead. Equal Metas have equal texts.
//
// A text of more than 65,534 bytes is spread over several comments, each UTF-8
// and shorter than that. The first one begins with the first line, and all then
// have a line "vnreplay.part=2 of=3 bytes=59988" before so many bytes of the rest
// of the text.
//
// The error is [ErrMetaTooLong], with both sizes.
func (m *Meta) Marshal() ([]string, error) {
	var b strings.Builder
	b.WriteString(metaFirst + "\n")
	line := func(key, value string) {
		if value != "" {
			b.WriteString(key + "=" + metaValue(value) + "\n")
		}
	}
	line("version", m.Version)
	line("stack", m.Stack)
	line("go", m.Go)
	b.WriteString("seed=" + strconv.FormatUint(m.Seed, 10) + "\n")
	line("clock", m.Clock)
	line("view", m.View)
	line("switch", m.Switch)
	if m.File > 0 {
		line("file", strconv.Itoa(m.File))
	}
	if m.After > 0 {
		line("after", strconv.FormatUint(m.After, 10))
	}
	line("rules.off", joinNumbers(m.Off))
	line("rules.removed", joinNumbers(m.Removed))
	line("cables.down", joinNames(m.Down))
	for i, r := range m.Rules {
		b.WriteString("rule." + strconv.Itoa(i+1) + "=" + metaValue(r) + "\n")
	}
	switch {
	case m.Scenario == "":
	case isPlain(m.Scenario, "\n\t"):
		b.WriteString("scenario.bytes=" + strconv.Itoa(len(m.Scenario)) + "\n" + m.Scenario)
	default:
		b.WriteString("scenario=" + strconv.QuoteToASCII(m.Scenario) + "\n")
	}
	if b.Len() > MaxMeta {
		return nil, fmt.Errorf("scenario (%d bytes) and %d rules make %d bytes, at most %d fit: %w; shorten the scenario or its rules",
			len(m.Scenario), len(m.Rules), b.Len(), MaxMeta, ErrMetaTooLong)
	}
	return spread(b.String()), nil
}

func joinNumbers(list []int) string {
	var b []byte
	for i, n := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(n), 10)
	}
	return string(b)
}

func joinNames(list []string) string {
	var b []byte
	for i, name := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, escape(name)...)
	}
	return string(b)
}

// parseNumbers reads what joinNumbers wrote: numbers of rules.
func parseNumbers(text string) (list []int, err error) {
	for word := range strings.SplitSeq(text, ",") {
		n, err := strconv.ParseUint(word, 10, 31)
		if err != nil || n == 0 {
			return nil, fmt.Errorf("%s is no number of a rule", clip(word))
		}
		list = append(list, int(n))
	}
	return list, nil
}

// parseNames reads what joinNames wrote.
func parseNames(text string) (list []string, err error) {
	for word := range strings.SplitSeq(text, ",") {
		name, ok := unescape(word)
		if !ok || name == "" {
			return nil, fmt.Errorf("%s is no name of a port", clip(word))
		}
		list = append(list, name)
	}
	return list, nil
}

// metaValue is a value as it stands on a line.
func metaValue(s string) string {
	if isPlain(s, "") && !strings.HasPrefix(s, `"`) {
		return s
	}
	return strconv.QuoteToASCII(s)
}

// isPlain reports whether s is UTF-8 of printable characters and those in also.
func isPlain(s, also string) bool {
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 || !unicode.IsPrint(r) && !strings.ContainsRune(also, r) {
			return false
		}
		i += n
	}
	return true
}

// ParseMeta reads what [Meta.Marshal] wrote from the comments of a section header,
// in their order. Others' comments among them, text before ours and text behind
// is ignored, as are unknown keys: other programs add to comments (mergecap
// appends the names of the files), and newer versions may.
//
// The error is [ErrNoMeta] when there is no first line, or names the line that
// is wrong, or the part that is missing or wrong. Where there are several
// descriptions it is the first one without an error.
func ParseMeta(comments ...string) (Meta, error) {
	err := fmt.Errorf("%w: no line %q in the section's comments", ErrNoMeta, metaFirst)
	var g gathered
	for _, c := range comments {
		text, complete, wrong := g.add(c)
		if complete {
			var m Meta
			if m, wrong = parseMeta(text); wrong == nil {
				return m, nil
			}
		}
		if wrong != nil {
			err = wrong
		}
	}
	if wrong := g.missing(); wrong != nil {
		err = wrong
	}
	return Meta{}, err
}

// parseMeta reads what follows the first line.
func parseMeta(rest string) (Meta, error) {
	var m Meta
	seed := false
	for n := 2; rest != ""; n++ {
		var line string
		line, rest, _ = strings.Cut(rest, "\n")
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			// Not ours any more.
			break
		}
		if key == "scenario.bytes" {
			size, err := strconv.ParseUint(value, 10, 31)
			if err != nil || int(size) > len(rest) {
				return Meta{}, fmt.Errorf("run description, line %d: scenario of %s bytes, %d are there", n, clip(value), len(rest))
			}
			m.Scenario = rest[:size]
			break
		}
		if strings.HasPrefix(value, `"`) {
			s, err := strconv.Unquote(value)
			if err != nil {
				return Meta{}, fmt.Errorf("run description, line %d: %.80s is no quoted string", n, key)
			}
			value = s
		}
		switch {
		case key == "version":
			m.Version = value
		case key == "stack":
			m.Stack = value
		case key == "go":
			m.Go = value
		case key == "seed":
			v, err := strconv.ParseUint(value, 10, 64)
			if err != nil {
				return Meta{}, fmt.Errorf("run description, line %d: seed %s is no number", n, clip(value))
			}
			m.Seed, seed = v, true
		case key == "clock":
			m.Clock = value
		case key == "view":
			m.View = value
		case key == "switch":
			m.Switch = value
		case key == "scenario":
			m.Scenario = value
		case key == "file":
			v, err := strconv.ParseUint(value, 10, 31)
			if err != nil {
				return Meta{}, fmt.Errorf("run description, line %d: file %s is no number", n, clip(value))
			}
			m.File = int(v)
		case key == "after":
			v, err := strconv.ParseUint(value, 10, 64)
			if err != nil {
				return Meta{}, fmt.Errorf("run description, line %d: after %s is no number", n, clip(value))
			}
			m.After = v
		case key == "rules.off" || key == "rules.removed":
			list, err := parseNumbers(value)
			if err != nil {
				return Meta{}, fmt.Errorf("run description, line %d: %s: %w", n, key, err)
			}
			if key == "rules.off" {
				m.Off = list
			} else {
				m.Removed = list
			}
		case key == "cables.down":
			list, err := parseNames(value)
			if err != nil {
				return Meta{}, fmt.Errorf("run description, line %d: %s: %w", n, key, err)
			}
			m.Down = list
		case strings.HasPrefix(key, "rule."):
			if key != "rule."+strconv.Itoa(len(m.Rules)+1) {
				return Meta{}, fmt.Errorf("run description, line %d: %.80s where rule.%d is expected", n, key, len(m.Rules)+1)
			}
			m.Rules = append(m.Rules, value)
		}
	}
	if !seed {
		return Meta{}, fmt.Errorf("run description: no seed")
	}
	return m, nil
}
