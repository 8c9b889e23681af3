package scenario

import "github.com/vnreplay/vnreplay/pcap"

// DateAdvice is what to do about a Date header that is not the same in two runs.
const DateAdvice = "the time was taken from the wall clock; wrap the server's handler in vnetif.DateHandler"

// DateDiffers reports whether the first byte in which two frames differ lies in
// an HTTP Date header.
func DateDiffers(a, b []byte) bool {
	at := pcap.FirstDifference(a, b)
	const longest = 64 // bytes of a Date line
	for _, data := range [][]byte{a, b} {
		line := data[:min(at, len(data))]
		for i := len(line) - 1; i >= 0 && len(line)-i < longest; i-- {
			if line[i] != '\n' {
				continue
			}
			if rest := line[i+1:]; len(rest) >= 5 && string(rest[:5]) == "Date:" {
				return true
			}
			break
		}
	}
	return false
}
