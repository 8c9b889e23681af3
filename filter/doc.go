// Package filter compiles the filter expressions of tcpdump for Ethernet
// frames, in Go alone, and runs them.
package filter
