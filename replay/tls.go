package replay

import (
	"encoding/binary"
	"fmt"
)

// tlsPart is a run of a TLS stream that has a name: a record's header, a
// handshake message or a field of it, the contents of another record.
type tlsPart struct {
	at, end int64
	record  int    // from 1
	message string // "ServerHello", "application data"
	field   string // "" or a field of it
}

var tlsHandshakes = map[byte]string{
	0: "HelloRequest", 1: "ClientHello", 2: "ServerHello", 4: "NewSessionTicket", 5: "EndOfEarlyData", 8: "EncryptedExtensions",
	11: "Certificate", 12: "ServerKeyExchange", 13: "CertificateRequest", 14: "ServerHelloDone", 15: "CertificateVerify",
	16: "ClientKeyExchange", 20: "Finished", 22: "CertificateStatus", 24: "KeyUpdate",
}

const (
	tlsChangeCipherSpec = 20
	tlsHandshake        = 22
	tlsHeader           = 5           // bytes of a record's
	tlsMost             = 1<<14 + 256 // bytes of a record's contents (RFC 8446, 5.2)
)

// isTLS reports whether a stream begins with a record that holds a hello.
func isTLS(data []byte) bool {
	return len(data) > tlsHeader && data[0] == tlsHandshake && data[1] == 3 && data[2] <= 4 &&
		int(binary.BigEndian.Uint16(data[3:])) <= tlsMost && (data[tlsHeader] == 1 || data[tlsHeader] == 2)
}

// parseTLS names the parts of a TLS stream up to the record in which an offset
// lies. What is encrypted has no name of its own.
func parseTLS(data []byte, upTo int64) (parts []tlsPart) {
	encrypted := false
	left := int64(0) // of a handshake message that goes on in the next record
	name := ""
	for at, n := int64(0), 1; at+tlsHeader <= int64(len(data)) && at <= upTo; n++ {
		kind, size := data[at], int64(binary.BigEndian.Uint16(data[at+3:]))
		if kind < tlsChangeCipherSpec || kind > 24 || data[at+1] != 3 || size > tlsMost {
			return parts
		}
		body, end := at+tlsHeader, min(at+tlsHeader+size, int64(len(data)))
		message := map[byte]string{20: "ChangeCipherSpec", 21: "alert", 22: "encrypted handshake message", 23: "application data", 24: "heartbeat"}[kind]
		if kind == 21 && encrypted {
			message = "encrypted alert"
		}
		if kind != tlsHandshake || encrypted {
			parts = append(parts, tlsPart{at, body, n, message, "record header"}, tlsPart{body, end, n, message, ""})
			encrypted = encrypted || kind == tlsChangeCipherSpec
			at = end
			continue
		}
		first := len(parts)
		parts = append(parts, tlsPart{at, body, n, name, "record header"})
		for pos := body; pos < end; {
			if left == 0 {
				if pos+4 > end {
					parts = append(parts, tlsPart{pos, end, n, "handshake message", "its header"})
					break
				}
				if name = tlsHandshakes[data[pos]]; name == "" {
					name = fmt.Sprintf("handshake message of type %d", data[pos])
				}
				left = 4 + int64(data[pos+1])<<16 + int64(binary.BigEndian.Uint16(data[pos+2:]))
				if name == "ClientHello" || name == "ServerHello" {
					parts = append(parts, helloFields(data[:end], pos, n, name)...)
				}
			}
			next := min(pos+left, end)
			if last := parts[len(parts)-1]; last.end < next {
				parts = append(parts, tlsPart{max(pos, last.end), next, n, name, ""})
			}
			left -= next - pos
			pos = next
		}
		if first+1 < len(parts) {
			parts[first].message = parts[first+1].message
		}
		at = end
	}
	return parts
}

// helloFields names the beginning of a hello (RFC 8446, 4.1.2): its version, its
// random number, its session id.
func helloFields(data []byte, at int64, record int, name string) (parts []tlsPart) {
	pos := at
	add := func(n int64, field string) {
		if end := min(pos+n, int64(len(data))); end > pos {
			parts = append(parts, tlsPart{pos, end, record, name, field})
			pos = end
		}
	}
	add(4, "length")
	add(2, "version")
	add(32, "random")
	if pos < int64(len(data)) {
		add(1+int64(data[pos]), "session id")
	}
	return parts
}

// tlsPlace says in which record and message an offset is, and which message, or "".
func tlsPlace(data []byte, offset int64) (place, message string) {
	if !isTLS(data) {
		return "", ""
	}
	for _, p := range parseTLS(data, offset) {
		if offset >= p.at && offset < p.end {
			place = fmt.Sprintf("TLS record %d, %s", p.record, p.message)
			if p.field != "" {
				place += ", " + p.field
			}
			return place, p.message
		}
	}
	return "", ""
}
