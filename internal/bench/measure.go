package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"
)

// Options say how often is measured.
type Options struct {
	// Reps is how often each subject is measured. Default 5.
	Reps int
	// Progress, if not nil, is told before each run what is measured next.
	Progress func(group, subject string, rep, reps int)
}

// Measure measures groups, one after the other, the subjects of a group by turns.
// A subject that cannot be measured here is in the report with the reason. One
// that fails is in the report with its error and not measured again; the errors
// of all are joined in the error. The report holds what was measured, whatever
// the error. When ctx is done, Measure ends with its error.
func Measure(ctx context.Context, groups []Group, opts Options) (*Report, error) {
	if opts.Reps <= 0 {
		opts.Reps = 5
	}
	report := &Report{Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH, CPUs: runtime.NumCPU(), Reps: opts.Reps}
	var errs []error
	for _, g := range groups {
		table := newTable(g)
		report.Tables = append(report.Tables, table)
		for rep := range opts.Reps {
			for i, s := range g.Subjects {
				row := &table.Rows[i]
				if row.Skipped != "" || row.Error != "" {
					continue
				}
				if opts.Progress != nil {
					opts.Progress(g.Name, s.Name(), rep+1, opts.Reps)
				}
				r, err := once(ctx, s)
				if cerr := context.Cause(ctx); cerr != nil {
					table.sum()
					return report, errors.Join(append(errs, cerr)...)
				}
				switch {
				case errors.Is(err, ErrSkipped):
					row.Skipped = err.Error()
				case err != nil:
					row.Error = err.Error()
					errs = append(errs, fmt.Errorf("%s: %s: %w", g.Name, s.Name(), err))
				default:
					row.Runs = append(row.Runs, r)
				}
			}
		}
		table.sum()
	}
	return report, errors.Join(errs...)
}

// once sets a subject up, measures it and removes it.
func once(ctx context.Context, s Subject) (r Result, err error) {
	if err := s.Setup(ctx); err != nil {
		return r, err
	}
	runtime.GC() // what a run before has left behind is not this one's
	r, err = s.Run(ctx)
	return r, errors.Join(err, s.Teardown())
}

// Report is what [Measure] found.
type Report struct {
	Go     string   `json:"go"`
	OS     string   `json:"os"`
	Arch   string   `json:"arch"`
	CPUs   int      `json:"cpus"`
	Reps   int      `json:"reps"`
	Tables []*Table `json:"groups"`
}

// Table is what was found of one group.
type Table struct {
	Name   string     `json:"name"`
	Title  string     `json:"title"`
	Unit   string     `json:"unit"`
	Rows   []Row      `json:"subjects"`
	Ratios []Quotient `json:"ratios"`

	group Group
}

// Row is what was found of one subject.
type Row struct {
	Name    string `json:"name"`
	Skipped string `json:"skipped,omitempty"` // why it could not be measured
	Error   string `json:"error,omitempty"`   // why it was not measured to the end
	Rate    Spread `json:"rate"`
	// CPU is the processors' time in seconds for each GB, and in nanoseconds for
	// each frame where frames are counted.
	CPU  Spread        `json:"cpu"`
	Lost uint64        `json:"lost"`    // in all runs together
	Late time.Duration `json:"late_ns"` // of all runs the most
	Runs []Result      `json:"runs"`
}

// Quotient is what was found of one [Ratio]: the quotients of the runs of one
// turn each, and of the CPU seconds of those.
type Quotient struct {
	Of      string  `json:"of"`
	To      string  `json:"to"`
	AtLeast float64 `json:"at_least,omitempty"`
	Rate    Spread  `json:"rate"`
	CPU     Spread  `json:"cpu"`
}

// Spread is the median of some figures, the least and the greatest of them.
type Spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// newSpread returns the spread of figures, zero if there are none. The median of
// an even number of them is the mean of the two in the middle.
func newSpread(figures []float64) Spread {
	n := len(figures)
	if n == 0 {
		return Spread{}
	}
	s := slices.Sorted(slices.Values(figures))
	return Spread{Median: (s[(n-1)/2] + s[n/2]) / 2, Min: s[0], Max: s[n-1]}
}

func newTable(g Group) *Table {
	t := &Table{Name: g.Name, Title: g.Title, Unit: g.Metric.Unit, Rows: make([]Row, len(g.Subjects)), Ratios: []Quotient{}, group: g}
	for i, s := range g.Subjects {
		t.Rows[i] = Row{Name: s.Name(), Runs: []Result{}}
	}
	return t
}

// cpu is what a run used of the processors: seconds for each GB, or nanoseconds
// for each frame.
func (t *Table) cpu(r Result) float64 {
	if t.group.Metric.PerFrame {
		return per(float64(r.CPU.Nanoseconds()), float64(r.Frames))
	}
	return per(r.CPU.Seconds(), float64(r.Bytes)/1e9)
}

// sum computes a table from its runs.
func (t *Table) sum() {
	value := t.group.Metric.Value
	for i := range t.Rows {
		row := &t.Rows[i]
		row.Rate, row.CPU = newSpread(each(row.Runs, value)), newSpread(each(row.Runs, t.cpu))
		for _, r := range row.Runs {
			row.Lost += r.Lost
			row.Late = max(row.Late, r.Late)
		}
	}
	for _, ratio := range t.group.Ratios {
		of, to := t.row(ratio.Of), t.row(ratio.To)
		turns := min(len(of.Runs), len(to.Runs))
		if turns == 0 {
			continue
		}
		quotients := func(f func(Result) float64) Spread {
			a, b := each(of.Runs[:turns], f), each(to.Runs[:turns], f)
			for i := range a {
				a[i] = per(a[i], b[i])
			}
			return newSpread(a)
		}
		t.Ratios = append(t.Ratios, Quotient{ratio.Of, ratio.To, ratio.AtLeast, quotients(value), quotients(t.cpu)})
	}
}

// row returns the row of a subject; one that is not there has no runs.
func (t *Table) row(name string) Row {
	if i := slices.IndexFunc(t.Rows, func(r Row) bool { return r.Name == name }); i >= 0 {
		return t.Rows[i]
	}
	return Row{}
}

func each(runs []Result, f func(Result) float64) []float64 {
	var s []float64
	for _, r := range runs {
		s = append(s, f(r))
	}
	return s
}
