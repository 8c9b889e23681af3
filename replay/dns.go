package replay

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
)

// dnsMessage is the head of a DNS message and its first question (RFC 1035, 4.1).
type dnsMessage struct {
	id       uint16
	response bool
	code     int
	answers  int
	question string // "A example.com"
	body     int    // where the question ends
}

const dnsHeader = 12

var dnsCodes = []string{"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"}

var dnsTypes = map[uint16]string{1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 15: "MX", 16: "TXT", 28: "AAAA", 33: "SRV", 65: "HTTPS", 255: "ANY"}

// parseDNS reads a message that one of two ends sent to the other, of which one
// must have DNS's port.
func parseDNS(b []byte, ends [2]netip.AddrPort) (m dnsMessage, ok bool) {
	const port, multicast = 53, 5353
	if p, q := ends[0].Port(), ends[1].Port(); p != port && q != port && p != multicast && q != multicast {
		return m, false
	}
	if len(b) < dnsHeader || binary.BigEndian.Uint16(b[4:]) != 1 {
		return m, false
	}
	m.id, m.response, m.code = binary.BigEndian.Uint16(b), b[2]&0x80 != 0, int(b[3]&15)
	m.answers = int(binary.BigEndian.Uint16(b[6:]))
	var labels []string
	at := dnsHeader
	for at < len(b) && b[at] != 0 {
		n := int(b[at])
		if n > 63 || at+1+n > len(b) {
			return m, false
		}
		labels = append(labels, string(b[at+1:at+1+n]))
		at += 1 + n
	}
	if at+5 > len(b) {
		return m, false
	}
	kind := binary.BigEndian.Uint16(b[at+1:])
	name := dnsTypes[kind]
	if name == "" {
		name = fmt.Sprintf("type %d", kind)
	}
	m.question, m.body = name+" "+strings.Join(labels, "."), at+5
	return m, true
}

func (m *dnsMessage) codeName() string {
	if m.code < len(dnsCodes) {
		return dnsCodes[m.code]
	}
	return fmt.Sprintf("code %d", m.code)
}

// place says where in the message an offset is.
func (m *dnsMessage) place(offset int64) string {
	s := "DNS query"
	if m.response {
		s = fmt.Sprintf("DNS response (%s, %s)", m.codeName(), count(m.answers, "answer"))
	}
	s += " " + clip(m.question, 60)
	switch {
	case offset < 2:
		return s + ", ID"
	case offset < 4:
		return s + ", flags and response code"
	case offset < dnsHeader:
		return s + ", counts"
	case offset < int64(m.body):
		return s + ", question"
	}
	return s + ", records"
}
