package vswitch_test

import (
	"testing"

	vswitch "github.com/vnreplay/vnreplay/switch"
)

func TestPortMACIsLocalAndCarriesTheNumber(t *testing.T) {
	equal(t, "port 0", vswitch.PortMAC(0).String(), "02:00:00:00:00:00")
	equal(t, "port 0x01020304", vswitch.PortMAC(0x01020304).String(), "02:00:01:02:03:04")
	equal(t, "group", vswitch.PortMAC(1).IsGroup(), false)
}

func TestParseMAC(t *testing.T) {
	for _, tc := range []struct{ in, want, err string }{
		{in: "02:00:00:00:00:01", want: "02:00:00:00:00:01"},
		{in: "02-00-00-00-00-0A", want: "02:00:00:00:00:0a"},
		{in: "0200.0000.00ff", want: "02:00:00:00:00:ff"},
		{in: "", err: `MAC address "": want six bytes such as 02:00:00:00:00:01`},
		{in: "02:00:00:00:00", err: `MAC address "02:00:00:00:00": want six bytes such as 02:00:00:00:00:01`},
		{in: "02:00:00:00:00:00:00:01", err: `MAC address "02:00:00:00:00:00:00:01": 8 bytes, want 6`},
	} {
		m, err := vswitch.ParseMAC(tc.in)
		if tc.err != "" {
			if err == nil || err.Error() != tc.err {
				t.Errorf("ParseMAC(%q): %v, want %s", tc.in, err, tc.err)
			}
			continue
		}
		must(t, err)
		equal(t, tc.in, m.String(), tc.want)
	}
}

func TestIsGroup(t *testing.T) {
	for mac, want := range map[vswitch.MAC]bool{
		vswitch.Broadcast:              true,
		{0x33, 0x33, 0, 0, 0, 1}:       true,
		{0x01, 0x80, 0xc2, 0, 0, 0}:    true,
		{0x02, 0, 0, 0, 0, 1}:          false,
		{0xfe, 0xff, 0xff, 0, 0, 0xff}: false,
	} {
		equal(t, mac.String(), mac.IsGroup(), want)
	}
}

func TestLossNamesAreTheWordsOfRecordings(t *testing.T) {
	got := ""
	for l := vswitch.NotLost; l <= vswitch.LostReserved; l++ {
		got += l.String() + ","
	}
	equal(t, "words", got, ",rule,queue,down,mtu,reserved,")
}
