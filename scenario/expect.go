package scenario

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// keyEnd is in the failure of an application that did not come to its end.
const keyEnd = "end"

// judge adds to a result what is not as expected.
func (s *Scenario) judge(res *Result) {
	x := s.Expect
	if x == nil {
		x = &Expectations{}
	}
	for i := range res.Apps {
		a := &res.Apps[i]
		want, _ := x.Apps.Get(a.Name)
		s.judgeApp(res, a, want)
	}
	index := s.ruleIndex(x)
	for _, e := range x.Faults {
		rule := &res.Rules[index(e.Name)]
		inRange(res, "faults."+e.Name, &e.Value, Number(rule.Frames), " frames affected")
	}
	if t := x.TCP; t != nil {
		inRange(res, "tcp.retransmits", t.Retransmits, Number(res.TCP.Retransmits), "")
		inRange(res, "tcp.resets", t.Resets, Number(res.TCP.Resets), "")
	}
	if r := x.Run; r != nil {
		inRange(res, "run.frames", r.Frames, Number(res.Frames), "")
		inRange(res, "run.bytes", r.Bytes, Size(res.Bytes), "")
		inRange(res, "run.virtual", r.Virtual, Duration(res.Virtual), "")
		inRange(res, "run.unordered", r.Unordered, Number(res.Unordered), "")
	}
}

// inRange adds a failure if there is a range and the value is not in it.
func inRange[T interface {
	~uint64 | ~int64
	fmt.Stringer
}](res *Result, what string, want *Range[T], got T, unit string) {
	if want != nil && !want.Contains(got) {
		res.Failures = append(res.Failures, Failure{What: what, Expected: want.String() + unit, Actual: got.String()})
	}
}

func (s *Scenario) judgeApp(res *Result, a *AppResult, want AppExpectation) {
	fail := func(key, expected, actual string) {
		res.Failures = append(res.Failures, Failure{What: a.Name + "." + key, Expected: expected, Actual: actual, unfinished: key == keyEnd})
	}
	switch {
	case want.Error != "" && a.Error == "":
		fail("error", fmt.Sprintf("an error with %q", want.Error), "none")
	case want.Error != "" && !strings.Contains(a.Error, want.Error):
		fail("error", fmt.Sprintf("an error with %q", want.Error), a.Error)
	case want.Error == "" && !a.Server && !a.Finished:
		fail(keyEnd, "it finishes", "still running when the run ended")
	case want.Error == "" && a.Error != "":
		fail("error", "none", a.Error)
	}
	inRange(res, a.Name+".ok", want.OK, Number(a.OK), "")
	inRange(res, a.Name+".failed", want.Failed, Number(a.Failed), "")
	inRange(res, a.Name+".lost", want.Lost, Number(a.Lost), "")
	inRange(res, a.Name+".bytes", want.Bytes, Size(a.Received), "")
	if a.Finished {
		inRange(res, a.Name+".took", want.Took, Duration(a.Took), "")
		if want.Within != nil && Duration(a.Took) > *want.Within {
			fail("within", want.Within.String(), Duration(a.Took).String())
		}
	}
	if want.SHA256 != "" {
		s.judgeHash(a, want.SHA256, fail)
	}
}

// judgeHash compares the hash of what was fetched.
func (s *Scenario) judgeHash(a *AppResult, want string, fail func(key, expected, actual string)) {
	if want == served {
		app, _ := s.Apps.Get(a.Name)
		sum := sha256.Sum256(s.contents()[s.servedFile(app.HTTPGet.URL)])
		want = hex.EncodeToString(sum[:])
	}
	var got []string
	for _, sum := range a.SHA256 {
		got = append(got, sum.String())
	}
	if len(got) != 1 || got[0] != strings.ToLower(want) {
		actual := strings.Join(got, " and ")
		if actual == "" {
			actual = "no whole body"
		}
		fail("sha256", want, actual)
	}
}
