package filter_test

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/bpf"
	"pgregory.net/rapid"

	"github.com/vnreplay/vnreplay/filter"
)

var update = flag.Bool("update", false, "write testdata/libpcap.txt anew from what tcpdump prints")

// libpcapVersion is the one whose programs testdata/libpcap.txt holds.
const libpcapVersion = "1.10.3"

// verdict is what libpcap makes of an expression.
type verdict struct {
	program []bpf.RawInstruction
	refusal string // why not, in its words
}

// String is the verdict on one line, as testdata/libpcap.txt has it.
func (v verdict) String() string {
	if v.refusal != "" {
		return "! " + v.refusal
	}
	var parts []string
	for _, i := range v.program {
		parts = append(parts, fmt.Sprintf("%d %d %d %d", i.Op, i.Jt, i.Jf, i.K))
	}
	return strings.Join(parts, "; ")
}

func parseVerdict(t rapid.TB, line string) verdict {
	t.Helper()
	if refusal, ok := strings.CutPrefix(line, "! "); ok {
		return verdict{refusal: refusal}
	}
	var v verdict
	for part := range strings.SplitSeq(line, "; ") {
		var i bpf.RawInstruction
		if _, err := fmt.Sscanf(part, "%d %d %d %d", &i.Op, &i.Jt, &i.Jf, &i.K); err != nil {
			t.Fatalf("instruction %q: %v", part, err)
		}
		v.program = append(v.program, i)
	}
	return v
}

// lines reads a file of testdata without its comments and blank lines.
func lines(t testing.TB, name string) []string {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []string
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		if line := s.Text(); line != "" && !strings.HasPrefix(line, "#") {
			out = append(out, line)
		}
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

func expressions(t testing.TB) []string { return lines(t, "expressions.txt") }

// refused is the list of what only libpcap accepts, with a part of our error.
func refused(t testing.TB) (exprs []string, why map[string]string) {
	t.Helper()
	why = make(map[string]string)
	for _, line := range lines(t, "refused.txt") {
		expr, reason, ok := strings.Cut(line, " -> ")
		if !ok {
			t.Fatalf("refused.txt: no arrow in %q", line)
		}
		exprs = append(exprs, expr)
		why[expr] = reason
	}
	return exprs, why
}

// golden reads what libpcap makes of the expressions of both lists.
func golden(t testing.TB) map[string]verdict {
	t.Helper()
	out := make(map[string]verdict)
	list := lines(t, "libpcap.txt")
	for i := 0; i+1 < len(list); i += 2 {
		out[list[i]] = parseVerdict(t, strings.TrimPrefix(list[i+1], "\t"))
	}
	return out
}

// needTcpdump skips the test without the tcpdump that the golden file is of.
func needTcpdump(t testing.TB) {
	t.Helper()
	out, err := exec.Command("tcpdump", "--version").CombinedOutput()
	var missing string
	switch {
	case err != nil:
		missing = "no tcpdump: " + err.Error()
	case !strings.Contains(string(out), "libpcap version "+libpcapVersion):
		missing = "tcpdump is not built with libpcap " + libpcapVersion
	default:
		// libpcap takes names from these files; the golden file is of theirs.
		for _, file := range []string{"/etc/services", "/etc/protocols", "/etc/networks"} {
			if _, err := os.Stat(file); err != nil {
				missing = "no names for tcpdump (package netbase): " + err.Error()
			}
		}
	}
	if missing == "" {
		return
	}
	if os.Getenv("VNREPLAY_REQUIRE_TOOLS") == "1" {
		t.Fatal(missing)
	}
	t.Skip(missing)
}

// askTcpdump compiles with the libpcap of this machine. With a link type given
// and no device named, tcpdump opens neither device nor file.
func askTcpdump(t rapid.TB, expr string) verdict {
	t.Helper()
	var stdout, stderr strings.Builder
	cmd := exec.Command("tcpdump", "-y", "EN10MB", "-ddd", " "+expr) // the space keeps a minus from being an option
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		first, _, _ := strings.Cut(stderr.String(), "\n")
		return verdict{refusal: strings.TrimPrefix(first, "tcpdump: ")}
	}
	program := strings.Split(strings.TrimSpace(stdout.String()), "\n")
	return parseVerdict(t, strings.Join(program[1:], "; "))
}

func TestGolden(t *testing.T) {
	needTcpdump(t)
	other, _ := refused(t)
	var now strings.Builder
	fmt.Fprintf(&now, `# What libpcap %s makes of the expressions of expressions.txt and refused.txt,
# as tcpdump -y EN10MB -ddd prints it: "operation true false operand" for each
# instruction, or ! and the error. Written by: go test ./filter -run TestGolden -update
`, libpcapVersion)
	for _, expr := range append(expressions(t), other...) {
		fmt.Fprintf(&now, "%s\n\t%s\n", expr, askTcpdump(t, expr))
	}
	path := filepath.Join("testdata", "libpcap.txt")
	if *update {
		if err := os.WriteFile(path, []byte(now.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	was, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(was), now.String()); diff != "" {
		t.Errorf("libpcap.txt is not what tcpdump prints; with -update it will be (-file +tcpdump):\n%s", diff)
	}
}

// newVM makes the virtual machine of x/net/bpf, which is where programs of both
// compilers meet.
func newVM(t rapid.TB, program []bpf.RawInstruction) *bpf.VM {
	t.Helper()
	instructions, _ := bpf.Disassemble(withoutNegation(program))
	vm, err := bpf.NewVM(instructions)
	if err != nil {
		t.Fatal(err)
	}
	return vm
}

// withoutNegation replaces the one instruction that the machine of x/net/bpf
// does not know, "neg", by "xor #0xffffffff, add #1".
func withoutNegation(program []bpf.RawInstruction) []bpf.RawInstruction {
	const neg, xor, add, jump = 0x84, 0xa4, 0x04, 0x05
	place := make([]int, len(program)+1) // where each instruction goes
	for i, ins := range program {
		place[i+1] = place[i] + 1
		if ins.Op == neg {
			place[i+1]++
		}
	}
	var out []bpf.RawInstruction
	for i, ins := range program {
		skip := func(n int) int { return place[i+1+n] - place[i] - 1 }
		switch {
		case ins.Op == neg:
			out = append(out, bpf.RawInstruction{Op: xor, K: 0xffffffff})
			ins = bpf.RawInstruction{Op: add, K: 1}
		case ins.Op == jump:
			ins.K = uint32(skip(int(ins.K)))
		case ins.Op&7 == jump:
			ins.Jt, ins.Jf = uint8(skip(int(ins.Jt))), uint8(skip(int(ins.Jf)))
		}
		out = append(out, ins)
	}
	return out
}

func matches(t rapid.TB, vm *bpf.VM, data []byte) bool {
	t.Helper()
	n, err := vm.Run(data)
	if err != nil {
		t.Fatal(err)
	}
	return n != 0
}

func assemble(t testing.TB, f *filter.Filter) []bpf.RawInstruction {
	t.Helper()
	raw, err := bpf.Assemble(f.Instructions())
	if err != nil {
		t.Fatalf("%v: %v", f, err)
	}
	return raw
}

// TestSameAsLibpcap tries every expression on every frame: the program compiled
// here, on the machine of this package and on that of x/net/bpf, and libpcap's.
func TestSameAsLibpcap(t *testing.T) {
	want := golden(t)
	list := frames()
	exprs := expressions(t)
	if len(exprs) < 300 || len(list) < 70 {
		t.Fatalf("%d expressions and %d frames are too few", len(exprs), len(list))
	}
	pairs, matched := 0, 0
	for _, expr := range exprs {
		v, ok := want[expr]
		if !ok {
			t.Errorf("%s: not in libpcap.txt", expr)
			continue
		}
		f, err := filter.Compile(expr)
		if v.refusal != "" || err != nil {
			if v.refusal == "" {
				t.Errorf("refused: %v", err)
			} else if err == nil {
				t.Errorf("%s: compiles, but libpcap says: %s", expr, v.refusal)
			}
			continue
		}
		ours := assemble(t, f)
		vm, theirs := newVM(t, ours), newVM(t, v.program)
		for _, fr := range list {
			pairs++
			should := matches(t, theirs, fr.data)
			if should {
				matched++
			}
			if got := f.Match(fr.data); got != should {
				t.Errorf("%s: frame %q: match %v, libpcap %v", expr, fr.name, got, should)
			}
			if got := matches(t, vm, fr.data); got != should {
				t.Errorf("%s: frame %q: match on x/net/bpf %v, libpcap %v", expr, fr.name, got, should)
			}
		}
	}
	t.Logf("%d expressions, %d frames, %d pairs, %d of them match", len(exprs), len(list), pairs, matched)
}

// TestSameProgram shows for all frames what TestSameAsLibpcap tries on some: the
// programs are the same, one instruction like the other. It is more than was
// promised; who changes how programs are laid out may have to give it up.
func TestSameProgram(t *testing.T) {
	want := golden(t)
	for _, expr := range expressions(t) {
		f, err := filter.Compile(expr)
		if err != nil {
			continue // TestSameAsLibpcap has it
		}
		// Through x/net/bpf and back, as ours: it drops operands without a use.
		instructions, _ := bpf.Disassemble(withoutNegation(want[expr].program))
		theirs, err := bpf.Assemble(instructions)
		if err != nil {
			t.Fatal(err)
		}
		ours := assemble(t, f)
		if diff := cmp.Diff(theirs, ours); diff != "" {
			t.Errorf("%s: (-libpcap +ours)\n%s", expr, diff)
		}
	}
}

// TestRefused asserts that what this package refuses and libpcap does not is
// what refused.txt says, for the reasons it gives.
func TestRefused(t *testing.T) {
	want := golden(t)
	exprs, why := refused(t)
	for _, expr := range exprs {
		v, ok := want[expr]
		if !ok {
			t.Errorf("%s: not in libpcap.txt", expr)
		}
		if v.refusal != "" {
			t.Errorf("%s: libpcap refuses it as well; it belongs into expressions.txt", expr)
		}
		_, err := filter.Compile(expr)
		if err == nil {
			t.Errorf("%s: compiles", expr)
		} else if !strings.Contains(err.Error(), why[expr]) {
			t.Errorf("%s: got %q, want something with %q", expr, err, why[expr])
		}
	}
}

// TestFramesTellApart makes sure that the corpus is worth something: most
// expressions match some of the frames and not all.
func TestFramesTellApart(t *testing.T) {
	list := frames()
	all, none, some := 0, 0, 0
	for expr, v := range golden(t) {
		if v.refusal != "" {
			continue
		}
		f, err := filter.Compile(expr)
		if err != nil {
			continue // TestRefused has it
		}
		n := 0
		for _, fr := range list {
			if f.Match(fr.data) {
				n++
			}
		}
		switch n {
		case 0:
			none++
			t.Logf("no frame matches %s", expr)
		case len(list):
			all++
		default:
			some++
		}
	}
	if some < 8*(all+none) {
		t.Errorf("%d expressions match some frames, %d all and %d none", some, all, none)
	}
}
