package filter

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/bpf"
)

// Limits of what Compile takes.
const (
	maxExpression   = 64 << 10 // bytes
	maxInstructions = 4096     // as many as Linux and libpcap run
	maxBlocks       = 8192     // tests before optimisation
)

// snapLen is what a program returns for a match: how many bytes of the frame a
// capture should keep. It is tcpdump's default.
const snapLen = 262144

// Filter is a compiled expression. It does not change and may be used from
// several goroutines at once.
type Filter struct {
	expr    string
	program []bpf.RawInstruction
}

// Compile reads an expression of tcpdump's filter language and compiles it for
// Ethernet frames. An expression that is empty or blank matches every frame.
//
// Compile asks nothing of the machine: no resolver, no file, no interface; the
// same expression gives the same program everywhere. Any error is a
// *SyntaxError.
//
// It takes about a millisecond for what people type; with the number of
// tests it grows faster than linearly: a hundred hosts take a fraction of a
// second, as many as a program can hold some seconds.
func Compile(expr string) (f *Filter, err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case *SyntaxError:
			f, err = nil, r
		default:
			panic(r)
		}
	}()
	c := &compiler{expr: expr, layout: ethernet()}
	if len(expr) > maxExpression {
		c.fail("an expression has no more than %d bytes, this one has %d", maxExpression, len(expr))
	}
	x := c.filter()
	root := &block{test: stmt{opReturn, snapLen}}
	if x != nil {
		root = x.wire(root, &block{test: stmt{opReturn, 0}})
		if root, err = optimize(root); err != nil {
			c.failAll("%v", err)
		}
		if root.isReturn() && root.test.k == 0 {
			c.failAll("the expression matches no frame at all")
		}
	}
	program := emit(root)
	if len(program) > maxInstructions {
		c.failAll("the program has %d instructions and may have %d", len(program), maxInstructions)
	}
	for _, ins := range program {
		if s := (stmt{ins.Op, ins.K}); s.class() == classLD && s.mode() == modeABS && s.k >= firstAncillary {
			c.failAll("offsets of %#x and above are what Linux knows of a packet beside its bytes: not supported", uint32(firstAncillary))
		}
	}
	return &Filter{expr, program}, nil
}

// firstAncillary is where the offsets begin that Linux takes not for bytes of
// the packet but for what it knows beside them.
const firstAncillary = 0xfffff000

// Match tells whether the filter matches an Ethernet frame: from the
// destination address on, without the frame check sequence. The frame is taken
// to be whole; see MatchLen for one that was cut short. It allocates nothing
// and keeps nothing of the frame.
func (f *Filter) Match(frame []byte) bool { return f.MatchLen(frame, len(frame)) }

// MatchLen is Match for a frame of which perhaps only the beginning was
// captured: wireLen is its length in bytes on the wire, the Ethernet header
// included. It is what len, less and greater go by, while bytes that were not
// captured are as good as not there: as in tcpdump -r, a filter that has to
// look at one of them does not match.
func (f *Filter) MatchLen(frame []byte, wireLen int) bool {
	return run(f.program, frame, uint32(wireLen))
}

// Instructions returns the program, for use with golang.org/x/net/bpf: with
// bpf.NewVM, or through bpf.Assemble with a socket. It returns 262144 for a
// match and 0 otherwise. The slice is the caller's.
func (f *Filter) Instructions() []bpf.Instruction {
	out, _ := bpf.Disassemble(f.program)
	return out
}

// String returns the expression as it was given to Compile.
func (f *Filter) String() string { return f.expr }

// SyntaxError says what is wrong with an expression, and where.
type SyntaxError struct {
	Expr   string // the whole expression
	Column int    // where Token begins, in runes from 1
	Token  string // what is wrong; empty at the end and for the whole expression
	Msg    string // what is wrong with it
}

// Error is one line with all of it.
func (e *SyntaxError) Error() string {
	const enough = 120
	expr := e.Expr
	if len(expr) > enough {
		cut := enough
		for !utf8.RuneStart(expr[cut]) {
			cut--
		}
		expr = expr[:cut] + "..."
	}
	if e.Token == "" {
		return fmt.Sprintf("filter %q, column %d: %s", expr, e.Column, e.Msg)
	}
	return fmt.Sprintf("filter %q, column %d, %q: %s", expr, e.Column, e.Token, e.Msg)
}

// compiler reads an expression and makes the conditions as it goes: vlan and
// mpls change what all words after them mean, so the order is that of the text.
type compiler struct {
	expr  string
	at    int   // offset of what next has not read yet
	tok   token // read and not yet taken; errors are reported here
	depth int
	layout
	taken    [scratchWords]bool // scratch words in use
	nextWord uint32
}

// fail ends the compilation with an error about the current token.
func (c *compiler) fail(format string, args ...any) {
	panic(&SyntaxError{
		Expr:   c.expr,
		Column: utf8.RuneCountInString(c.expr[:c.tok.at]) + 1,
		Token:  c.tok.raw,
		Msg:    fmt.Sprintf(format, args...),
	})
}

// failAll ends the compilation with an error about the expression as a whole.
func (c *compiler) failAll(format string, args ...any) {
	c.tok = token{}
	c.fail(format, args...)
}

// unsupported ends it for what tcpdump understands and this package does not.
func (c *compiler) unsupported(what string) { c.fail("%s not supported", what) }

// unexpected ends it for a token that the grammar has no place for here.
func (c *compiler) unexpected(format string, args ...any) {
	if c.tok.kind == tokRefused {
		c.unsupported(refusedWords[c.tok.text])
	}
	msg := fmt.Sprintf(format, args...)
	if c.tok.kind == tokEnd {
		c.fail("the expression ends too early: %s", msg)
	}
	if c.tok.kind == tokName {
		failNear(c, c.tok.text, words, msg)
	}
	c.fail("%s", msg)
}

// failNear is fail with a hint when a table has a name much like this one.
func failNear[V any](c *compiler, name string, table map[string]V, msg string) {
	if hint := nearest(name, table); hint != "" {
		msg += fmt.Sprintf("; did you mean %q?", hint)
	}
	c.fail("%s", msg)
}

// nearest is the name in the table that takes the fewest edits to make of this
// one, if they are few.
func nearest[V any](name string, table map[string]V) string {
	best, fewest := "", min(2, len(name)/2)+1
	for known := range table {
		d := edits(strings.ToLower(name), known)
		if d < fewest || d == fewest && best != "" && known < best {
			best, fewest = known, d
		}
	}
	return best
}

// edits is the number of bytes to insert, delete, replace or swap with the next
// to get from a to b.
func edits(a, b string) int {
	const longest = 40 // no name is as long
	if max(len(a), len(b)) > longest {
		return longest
	}
	var d [longest + 1][longest + 1]int
	for i := range len(a) + 1 {
		for j := range len(b) + 1 {
			if i == 0 || j == 0 {
				d[i][j] = i + j
				continue
			}
			replace := d[i-1][j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			d[i][j] = min(replace, d[i-1][j]+1, d[i][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(a)][len(b)]
}
