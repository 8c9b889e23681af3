// Package regress runs directories of regressions: a capture or recording, with
// an expectation file NAME.vnr.yaml beside it that says what is to come of it.
//
//   - [Find] finds the expectation files below directories, [Load] reads one.
//   - [Run] runs each in a process of its own, because a world needs a process for
//     itself, several at a time, and gives the results in the order of the files.
//   - [Text], [TAP] and [JUnit] write results for people and for programs.
//   - [Set] changes figures in an expectation file and leaves the rest of it alone.
//
// What is done in the process of one regression is the command's business.
package regress
