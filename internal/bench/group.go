package bench

// Metric is what subjects of a group are compared by.
type Metric struct {
	Unit  string // "Gbit/s"
	Value func(Result) float64
	// Decimals is how many of them are printed.
	Decimals int
	// PerFrame has the processors' time told for each frame, and not for each GB.
	PerFrame bool
}

// The metrics.
var (
	Gbps = Metric{Unit: "Gbit/s", Decimals: 2, Value: func(r Result) float64 {
		return per(8*float64(r.Bytes)/1e9, r.Elapsed.Seconds())
	}}
	MillionFrames = Metric{Unit: "M frames/s", Decimals: 3, PerFrame: true, Value: func(r Result) float64 {
		return per(float64(r.Frames)/1e6, r.Elapsed.Seconds())
	}}
	Drift = Metric{Unit: "drift %", Decimals: 3, PerFrame: true, Value: func(r Result) float64 { return 100 * r.Drift }}
)

// Ratio is a pair of subjects of a group, by name, whose quotient is of interest.
type Ratio struct {
	Of, To string
	// AtLeast is what the quotient ought to be, 0 if nothing is said about it.
	AtLeast float64
}

// Group is a set of subjects that may be compared.
type Group struct {
	// Name is how a selection calls the group.
	Name string
	// Title says what is measured, in a line.
	Title    string
	Metric   Metric
	Subjects []Subject
	Ratios   []Ratio
}

// per divides, and is 0 where nothing can be divided by.
func per(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}
