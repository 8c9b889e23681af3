package regress

import (
	"encoding/xml"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"
)

// The elements of a JUnit report that GitHub's actions, GitLab and Jenkins read.
type (
	junitSuites struct {
		XMLName xml.Name `xml:"testsuites"`
		Name    string   `xml:"name,attr"`
		junitCounts
		Suites []*junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name string `xml:"name,attr"`
		junitCounts
		Cases []junitCase `xml:"testcase"`
		took  time.Duration
	}
	junitCounts struct {
		Tests    int    `xml:"tests,attr"`
		Failures int    `xml:"failures,attr"`
		Errors   int    `xml:"errors,attr"`
		Skipped  int    `xml:"skipped,attr"`
		Time     string `xml:"time,attr"`
	}
	junitCase struct {
		Name    string       `xml:"name,attr"`
		Class   string       `xml:"classname,attr"`
		File    string       `xml:"file,attr"`
		Time    string       `xml:"time,attr"`
		Failure *junitDetail `xml:"failure"`
		Error   *junitDetail `xml:"error"`
		Skipped *junitDetail `xml:"skipped"`
		Output  string       `xml:"system-out,omitempty"`
	}
	junitDetail struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr,omitempty"`
		Text    string `xml:",chardata"`
	}
)

// JUnit writes results as JUnit's XML: a suite for each directory. A failed
// regression is a failure, a partial one, one that cannot be used and one where
// the harness failed are errors, one that was not run is skipped.
func JUnit(w io.Writer, results []Result) error {
	all := junitSuites{Name: "vnreplay test"}
	byDir := map[string]*junitSuite{}
	var took time.Duration
	for _, r := range results {
		dir := filepath.ToSlash(filepath.Dir(r.Path))
		s := byDir[dir]
		if s == nil {
			s = &junitSuite{Name: dir}
			byDir[dir], all.Suites = s, append(all.Suites, s)
		}
		c := junitCase{
			Name: Name(filepath.Base(r.Path)),
			// Readers make packages of its dots.
			Class: strings.ReplaceAll(strings.Trim(dir, "./"), "/", "."),
			File:  filepath.ToSlash(r.Path), Time: junitTime(r.Took),
		}
		if c.Class == "" {
			c.Class = "regressions"
		}
		detail := &junitDetail{Message: r.line(), Type: string(r.Outcome), Text: strings.Join(r.details(), "\n")}
		for _, n := range []*junitCounts{&all.junitCounts, &s.junitCounts} {
			n.Tests++
			switch r.Outcome {
			case OK:
			case Failed:
				n.Failures++
			case NotRun:
				n.Skipped++
			default:
				n.Errors++
			}
		}
		switch r.Outcome {
		case OK:
			c.Output = strings.Join(append([]string{r.line()}, r.details()...), "\n")
		case Failed:
			c.Failure = detail
		case NotRun:
			c.Skipped = &junitDetail{Message: r.What}
		default:
			c.Error = detail
		}
		s.Cases = append(s.Cases, c)
		s.took += r.Took
		took += r.Took
	}
	for _, s := range all.Suites {
		s.Time = junitTime(s.took)
	}
	all.Time = junitTime(took)
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

// junitTime is in seconds.
func junitTime(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }
