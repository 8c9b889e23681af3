package faults_test

import (
	"fmt"
	"slices"
	"strings"

	"pgregory.net/rapid"
)

// pick draws one of the texts.
func pick(t *rapid.T, label string, texts ...string) string {
	return rapid.SampledFrom(texts).Draw(t, label)
}

// number draws one from least to most.
func number(t *rapid.T, label string, least, most int) int {
	return rapid.IntRange(least, most).Draw(t, label)
}

func maybe(t *rapid.T, label string) bool { return rapid.Bool().Draw(t, label) }

// generator draws the texts of rules, as untidy as the language allows. Times fit
// traffic of a frame each millisecond.
type generator struct {
	// whole lets rules be about what cannot be seen in a run of open-loop traffic
	// alone: an error in the sender's write, a file.
	whole bool
	// perFlow leaves out all that depends on other frames of the same path: places,
	// chains, correlations, rates, rounds, amounts.
	perFlow bool
	// fromClient makes every rule one that nothing but client's frames can
	// influence, on whatever cable.
	fromClient bool
}

var (
	anyRule      = generator{whole: true}
	openLoopRule = generator{}
)

// drawRule draws the text of a rule that does in a run what its text says.
func drawRule(t *rapid.T, name string) string { return openLoopRule.draw(t, name) }

func (g generator) draw(t *rapid.T, name string) string {
	kind, options := g.kind(t)
	word, _, _ := strings.Cut(kind, " ")
	words := []string{kind}
	if name != "" {
		words = []string{name + ":", kind}
	}
	placed := word == "partition" || word == "down" || word == "up" // they name their ports themselves
	if !slices.Contains([]string{"rate", "mtu"}, word) && !placed && !strings.HasPrefix(strings.Join(options, " "), "places") {
		words = append(words, g.frequency(t))
	}
	tells := slices.Contains(options, "error")
	if !placed {
		from := pick(t, "from", "", "", "all", "client", "server")
		if g.fromClient {
			from = "client"
		}
		if from != "" {
			options = append(options, "from "+from)
		}
		if to := pick(t, "to", "", "", "all", "server", "spy"); to != "" && !tells {
			options = append(options, "to "+to)
		}
	}
	if number(t, "on", 0, 4) == 0 {
		options = append(options, "on lan")
	}
	options = append(options, g.filters(t)...)
	options = append(options, g.when(t, word, tells || g.perFlow || g.fromClient && placed)...)
	words = append(words, rapid.Permutation(options).Draw(t, "order")...)
	return strings.Join(words, pick(t, "space", " ", "  ", "\t", " \n "))
}

// frequency draws a how-often, in any of its spellings.
func (g generator) frequency(t *rapid.T) string {
	n := func(label string, most int) int { return number(t, label, 1, most) }
	percent := func(label string) string { return fmt.Sprintf("%d%%", number(t, label, 0, 100)) }
	last := 9
	if g.perFlow {
		last = 3
	}
	switch number(t, "frequency", 0, last) {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf("%d.%0*d%%", number(t, "percent", 0, 99), n("places", 9), number(t, "digits", 0, 9))
	case 2:
		den := n("den", 100_000)
		return fmt.Sprintf("%d/%d", number(t, "num", 0, den), den)
	case 3:
		return fmt.Sprintf("%d‰", n("permille", 1000))
	case 4:
		return fmt.Sprintf("every %d", n("every", 20))
	case 5:
		return fmt.Sprintf("first %d", n("first", 20))
	case 6:
		return fmt.Sprintf("%d%% corr %d%%", n("percent", 99), n("corr", 99))
	case 7:
		parts := []string{"gemodel", percent("p"), percent("r"), percent("1-h"), percent("1-k")}
		return strings.Join(parts[:number(t, "parameters", 2, 5)], " ")
	case 8:
		m := "markov " + pick(t, "chain", "", "radio ") + "good=" + percent("good") + " bad=" + percent("bad")
		m += " good>bad=" + percent("good>bad") + pick(t, "more", "", " worse=1/2 bad>worse=1/3 worse>good=1/2")
		return m + " bad>good=1/3" + pick(t, "step", "", " step 3ms")
	}
	var items []string
	for range n("items", 6) {
		first := n("place", 40)
		switch number(t, "item", 0, 4) {
		case 0:
			items = append(items, fmt.Sprintf("%d..%d", first, first+n("length", 10)-1))
		case 1:
			items = append(items, fmt.Sprintf("%d..", first+20))
		default:
			items = append(items, fmt.Sprint(first))
		}
	}
	return "nth " + strings.Join(items, ",")
}

// kind draws a fault, what stands right behind its word, and its options.
func (g generator) kind(t *rapid.T) (kind string, options []string) {
	kinds := []string{"drop", "duplicate", "corrupt", "truncate", "pad", "delay", "reorder", "mtu"}
	if !g.perFlow {
		kinds = append(kinds, "rate")
	}
	kinds = append(kinds, "partition", "down", "up")
	kind = pick(t, "kind", kinds...)
	option := func(chance bool, format string, args ...any) {
		if chance {
			options = append(options, fmt.Sprintf(format, args...))
		}
	}
	switch kind {
	case "duplicate":
		option(maybe(t, "copies?"), "copies %d", number(t, "copies", 1, 4))
		option(maybe(t, "gap?"), "gap %d%s", number(t, "gap", 0, 3000), pick(t, "unit", "ns", "us", "µs", "ms"))
	case "corrupt":
		options = corruption(t)
	case "truncate":
		option(true, "to %dB", number(t, "size", 14, 80))
	case "pad":
		least := number(t, "least", 0, 20)
		option(true, pick(t, "padding", "%[2]dB", "%d..%dB"), least, least+number(t, "more", 1, 20))
	case "delay":
		if g.perFlow || number(t, "places?", 0, 4) > 0 {
			option(true, "%s", g.time(t, "delay"))
			option(maybe(t, "jitter?"), "%s", g.jitter(t))
			break
		}
		var places []string
		for i := range number(t, "places", 1, 8) {
			places = append(places, fmt.Sprintf("%d:%s", 4*i+number(t, "place", 1, 4), g.time(t, "by")))
		}
		option(true, "places %s", strings.Join(rapid.Permutation(places).Draw(t, "places in order"), ","))
	case "reorder":
		if maybe(t, "ahead?") {
			option(true, "ahead %s", g.time(t, "ahead"))
			option(!g.perFlow && maybe(t, "gap?"), "gap %d", number(t, "gap", 1, 6))
			option(maybe(t, "jitter?"), "%s", g.jitter(t))
			break
		}
		option(maybe(t, "behind?"), "behind %d", number(t, "behind", 1, 6))
		option(maybe(t, "within?"), "within %s", g.time(t, "within"))
	case "rate":
		option(true, "%s", pick(t, "rate", "56kbit", "0.2mbit", "400kbit", "9600bit", "1gbit"))
		option(maybe(t, "burst?"), "burst %d%s", number(t, "burst", 0, 400), pick(t, "unit", "B", "B", "kB"))
		option(maybe(t, "queue?"), "queue %s", pick(t, "queue", "3p", "200B", "2p,1kB", "0.15kB,9p"))
	case "partition":
		return "partition " + pick(t, "between", "client -> server", "client <-> server", "client", "spy,client,spy", "client,spy -> server",
			"all -> spy", "server -> all", "spy <-> server,client", "all <-> all"), nil
	case "mtu":
		option(true, "%d", number(t, "mtu", 20, 70))
		option(g.whole && maybe(t, "error?"), "error")
	case "down", "up":
		return kind + " " + pick(t, "port", "client", "server", "spy", "all"), nil
	}
	return kind, options
}

// corruption draws the options of "corrupt".
func corruption(t *rapid.T) []string {
	if maybe(t, "exact?") {
		var patches []string
		at := number(t, "offset", 0, 40)
		for range number(t, "patches", 1, 3) {
			b := number(t, "byte", 1, 255)
			how := number(t, "how", 0, 2)
			patches = append(patches, fmt.Sprintf([]string{"@%d:00%02x>0000", "@%d=00%02X", "@%d^00%02x"}[how], at, b))
			at += 2 + number(t, "hole", 0, 4)
		}
		return []string{strings.Join(patches, ",")}
	}
	if maybe(t, "bits?") {
		return []string{fmt.Sprintf("bits %d", number(t, "bits", 1, 30))}
	}
	return nil
}

// time draws a time of some milliseconds.
func (generator) time(t *rapid.T, label string) string {
	return pick(t, label, "1ns", "700us", "1ms", "2.5ms", "7ms", "0.0301s")
}

func (g generator) jitter(t *rapid.T) string {
	dists := []string{"", "uniform", "normal", "pareto", "paretonormal", "table -8192,0,8192", "table 17,-32768,32767,9"}
	if g.whole {
		dists = append(dists, "table wifi.dist", `table "my wifi.dist"`)
	}
	s := "jitter " + g.time(t, "jitter") + " " + pick(t, "distribution", dists...)
	if !g.perFlow && maybe(t, "corr?") {
		s += fmt.Sprintf(" corr %d%%", number(t, "corr", 0, 100))
	}
	return s
}

// filters draws conditions that some of drawTraffic's frames meet.
func (generator) filters(t *rapid.T) (options []string) {
	if number(t, "vlan?", 0, 5) == 0 {
		options = append(options, "vlan "+pick(t, "vlan", "5", "6"))
	}
	if number(t, "if?", 0, 3) == 0 {
		options = append(options, `if "`+pick(t, "if", "udp", "udp src port 1", "not ether broadcast", "src host 10.0.0.1", "greater 55",
			"udp  port 0 or udp port 2", "host 10.9.9.9", "vlan 5 and udp")+`"`)
	}
	return options
}

// when draws the times, or amounts of traffic, of a rule; timeOnly are times only.
func (generator) when(t *rapid.T, word string, timeOnly bool) []string {
	times := [][]string{
		nil, {"during 5ms..20ms"}, {"during 12ms..,3ms..9ms,4ms..4001us"}, {"after 3ms", "for 9.5ms"}, {"until 20ms"}, {"after 7ms"},
		{"after 2ms", "until 30ms"}, {"during 2ms..", "until 0.02s"},
	}
	if !timeOnly {
		times = append(times, [][]string{
			{"after 5 frames"}, {"after 300B", "for 7ms"}, {"until 10 frames"}, {"after 1 frame", "until 700B"}, {"during 1ms..30ms", "after 0.1kB"},
			{"after 2ms", "until 9 frames"}, {"after 3 frames", "for 4ms", "until 20ms"},
		}...)
	}
	if word == "up" {
		times = times[1:] // without, it says nothing
	} else if maybe(t, "always?") {
		return nil
	}
	out := slices.Clone(rapid.SampledFrom(times).Draw(t, "when"))
	if number(t, "off?", 0, 15) == 0 {
		out = append(out, "off")
	}
	return out
}
