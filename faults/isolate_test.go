package faults_test

import (
	"strings"
	"testing"

	"github.com/vnreplay/vnreplay/faults"
)

// A partition and a pulled cable are about all cables between those they name, or those
// at the port, in the directions that they say and no other.
func TestPartitionsAndPulledCables(t *testing.T) {
	names := map[int]string{-1: "", client: "c", server: "s", spy: "x"}
	for rule, want := range map[string]string{
		"partition client -> server":          "c>s",
		"partition server -> client":          "s>c",
		"partition client <-> server":         "c>s s>c",
		"partition server <-> client":         "c>s s>c",
		"partition client":                    "c>s c>x s>c x>c",
		"partition client,server":             "c>x s>x x>c x>s",
		"partition client,server,spy":         "",
		"partition client,spy -> server":      "c>s x>s",
		"partition client -> client":          "",
		"partition client,server -> server":   "c>s",
		"partition client,server <-> server":  "c>s s>c",
		"partition all -> server":             "c>s x>s",
		"partition server -> all":             "s>c s>x",
		"partition client <-> all":            "c>s c>x s>c x>c",
		"partition all <-> all":               "c>s c>x s>c s>x x>c x>s",
		"partition all -> all":                "c>s c>x s>c s>x x>c x>s",
		"down client":                         "c> s>c x>c",
		"down spy":                            "c>x s>x x>",
		"down all":                            "c> s> x>",
		"up client during 1h..":               "c> s>c x>c",
		"up client until 1h":                  "",
		"up all during 1h..":                  "c> s> x>",
		`partition all <-> all if "port 999"`: "",
		`down all vlan 5`:                     "",
	} {
		l := newHub(t, 1)
		c := l.compile(rule)
		if err := c.Rule().Check(faults.Switch{Ports: []string{"client", "server", "spy"}}); err != nil {
			t.Errorf("%q: %v", rule, err)
		}
		var lost []string
		cables := uint64(0)
		for from := client; from <= spy; from++ {
			for to := -1; to <= spy; to++ {
				if from != to && l.judge(c, udp(from, max(to, 0), 5000, 1, 10), from, to).Drop {
					lost = append(lost, names[from]+">"+names[to])
					cables++
				}
			}
		}
		if got := strings.Join(lost, " "); got != want {
			t.Errorf("%q: %s, want %s", rule, got, want)
		}
		if !strings.HasPrefix(rule, "up") && c.Matched() != cables {
			t.Errorf("%q matched %d times, %d are lost", rule, c.Matched(), cables)
		}
	}
	for rule, port := range map[string]string{"partition client -> web": "web", "partition web,client": "web", "down web": "web", "up web until 1s": "web"} {
		err := mustParse(t, rule).Check(faults.Switch{Ports: []string{"client"}})
		if err == nil || !strings.Contains(err.Error(), `no port "`+port+`"`) {
			t.Errorf("%q: %v", rule, err)
		}
	}
}
