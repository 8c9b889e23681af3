package faults_test

import (
	"strings"
	"testing"
)

// "vlan N" is about frames whose outer tag, of either kind, has all twelve bits of N,
// whatever their priority.
func TestVLANIsTheOuterTags(t *testing.T) {
	frame := udp(client, server, 5000, 1, 10)
	service := tagged(tagged(frame, 261), 5)
	service[12], service[13] = 0x88, 0xa8
	frames := []struct {
		name string
		data []byte
	}{
		{"untagged", frame}, {"5", tagged(frame, 5)}, {"261", tagged(frame, 261)}, {"4095", tagged(frame, 4095)}, {"0", tagged(frame, 0)},
		{"5-with-priority", tagged(frame, 0xf005)}, {"5-outer", tagged(tagged(frame, 261), 5)}, {"5-service", service},
		{"header-only", tagged(frame, 5)[:14]},
	}
	for rule, want := range map[string]string{
		"drop":                         "untagged 5 261 4095 0 5-with-priority 5-outer 5-service header-only",
		"drop vlan 5":                  "5 5-with-priority 5-outer 5-service",
		"drop vlan 261":                "261",
		"drop vlan 4095":               "4095",
		"drop vlan 0":                  "0",
		"drop vlan 6":                  "",
		`drop vlan 5 if "udp"`:         "5 5-with-priority", // what is behind the tag
		`drop vlan 5 if "vlan and ip"`: "5-outer 5-service",
		"drop vlan 5 to server":        "5 5-with-priority 5-outer 5-service",
	} {
		l := newLAN(t, 1)
		c := l.compile(rule)
		to := -1
		if strings.HasSuffix(rule, "to server") {
			to = server
		}
		var got []string
		for _, f := range frames {
			if l.judge(c, f.data, client, to).Drop {
				got = append(got, f.name)
			}
		}
		if got := strings.Join(got, " "); got != want {
			t.Errorf("%q: %s, want %s", rule, got, want)
		}
	}
}
