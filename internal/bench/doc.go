// Package bench measures how fast frames and bytes move: what "vnreplay bench"
// measures of vnreplay itself, and the means by which the module in the directory
// bench/ measures it beside its peers. It knows no flags and prints nothing but
// what it is asked to.
//
// # A map of the package
//
//   - A [Subject] is one thing that is measured; one call of its Run gives one
//     [Result]. [Start] gives the [Watch] by which a subject takes its time and
//     its share of the processors.
//   - A [Group] is a set of subjects whose rates may be compared, the [Metric] they
//     are compared by, and the [Ratio] pairs of interest.
//   - [Measure] runs groups: the subjects of one group by turns, A B C A B C, so
//     that whatever else the machine does meets all of them alike, and returns a
//     [Report]: medians with the least and the greatest, ratios taken within each
//     turn, CPU seconds. [Report.WriteText] prints tables; as JSON it is what it is.
//
// # What the figures are
//
// Rates say as much about the machine and its other users as about the subject;
// ratios taken in one run say more, and CPU seconds for each 10⁹ bytes are the
// steadiest of all. A gigabyte (GB) is 10⁹ bytes here, Gbit/s is 10⁹ bit/s.
package bench
