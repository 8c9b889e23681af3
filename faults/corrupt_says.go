package faults

import "fmt"

func (a *corrupt) says() string {
	if a.patches != nil {
		return "changes bytes: " + formatPatches(a.patches)
	}
	if a.bits == 1 {
		return "flips one random bit"
	}
	return fmt.Sprintf("flips %d random bits", a.bits)
}
