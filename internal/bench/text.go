package bench

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// WriteText prints the report as tables, for people.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s/%s, %d CPUs; %s, by turns: median (least-greatest)\n", r.Go, r.OS, r.Arch, r.CPUs, times(r.Reps))
	for _, t := range r.Tables {
		fmt.Fprintf(&b, "\n%s: %s\n\n", t.Name, t.Title)
		t.writeRows(&b)
		t.writeRatios(&b)
		for _, row := range t.Rows {
			if row.Skipped != "" {
				fmt.Fprintf(&b, "\nskipped: %s: %s", row.Name, row.Skipped)
			}
			if row.Error != "" {
				fmt.Fprintf(&b, "\nfailed: %s: %s", row.Name, row.Error)
			}
		}
		if s := b.String(); !strings.HasSuffix(s, "\n") {
			b.WriteByte('\n')
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func times(n int) string {
	if n == 1 {
		return "1 run each"
	}
	return fmt.Sprintf("%d runs each", n)
}

func newTabs(w io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(w, 0, 0, 2, ' ', 0) }

func (t *Table) writeRows(w io.Writer) {
	cpu, late := "CPU s/GB", false
	if t.group.Metric.PerFrame {
		cpu = "CPU ns/frame"
	}
	for _, row := range t.Rows {
		late = late || row.Late > 0
	}
	tabs := newTabs(w)
	defer tabs.Flush()
	head := []string{"", t.Unit, "", cpu, "lost"}
	if late {
		head = append(head, "latest")
	}
	fmt.Fprintln(tabs, strings.Join(head, "\t"))
	for _, row := range t.Rows {
		if len(row.Runs) == 0 {
			continue
		}
		d := t.group.Metric.Decimals
		cells := []string{row.Name, fmt.Sprintf("%.*f", d, row.Rate.Median),
			fmt.Sprintf("(%.*f-%.*f)", d, row.Rate.Min, d, row.Rate.Max), figure(row.CPU.Median), fmt.Sprint(row.Lost)}
		if late {
			cells = append(cells, row.Late.Round(time.Microsecond).String())
		}
		fmt.Fprintln(tabs, strings.Join(cells, "\t"))
	}
}

func (t *Table) writeRatios(w io.Writer) {
	if len(t.Ratios) == 0 {
		return
	}
	fmt.Fprintln(w)
	tabs := newTabs(w)
	defer tabs.Flush()
	fmt.Fprintln(tabs, "ratio\t\t\twanted\tof CPU")
	for _, q := range t.Ratios {
		wanted := ""
		if q.AtLeast > 0 {
			wanted = fmt.Sprintf("%.2f", q.AtLeast)
		}
		fmt.Fprintf(tabs, "%s / %s\t%s\t(%s-%s)\t%s\t%s\n",
			q.Of, q.To, figure(q.Rate.Median), figure(q.Rate.Min), figure(q.Rate.Max), wanted, figure(q.CPU.Median))
	}
}

// figure prints about three digits that count; what is not known is "-".
func figure(f float64) string {
	switch {
	case f == 0:
		return "-"
	case f >= 100:
		return fmt.Sprintf("%.0f", f)
	case f >= 10:
		return fmt.Sprintf("%.1f", f)
	case f >= 1:
		return fmt.Sprintf("%.2f", f)
	}
	return fmt.Sprintf("%.3f", f)
}
