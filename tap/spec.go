package tap

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"

	vswitch "github.com/vnreplay/vnreplay/switch"
)

// SpecError says where a spec is wrong.
type SpecError struct {
	// Spec is the spec as it was given.
	Spec string
	// Column is where Token begins: characters (runes, not bytes) from 1. At the end
	// of the spec it is one more than the number of characters.
	Column int
	// Token is the offending part; empty where something is missing.
	Token string
	// Msg says what is wrong and what is accepted.
	Msg string
}

// Error is one line of printable characters:
//
//	port qemu:unix, column 10, at its end: want unix:PATH or tcp:HOST:PORT
func (e *SpecError) Error() string {
	where := "something is missing"
	if e.Token != "" {
		where = quote(e.Token)
	}
	return fmt.Sprintf("port %s, column %d, %s: %s", quote(e.Spec), e.Column, where, e.Msg)
}

// quote clips and quotes for an error line.
func quote(s string) string {
	const most = 60
	if utf8.RuneCountInString(s) > most {
		s = string([]rune(s)[:most]) + "..."
	}
	return strconv.Quote(s)
}

// Check reads a spec as [Open] does and opens nothing. Its error is a [*SpecError].
func Check(spec string) error {
	_, err := parse(spec)
	return err
}

// Open opens the device that spec describes; the package comment has the grammar. The
// error is a [*SpecError] if the spec is wrong, a [*PrivilegeError] if the process may
// not, or the system's, wrapped. It does not wait for a peer.
func Open(spec string) (Device, error) {
	open, err := parse(spec)
	if err != nil {
		return nil, err
	}
	return open()
}

// opener opens what a spec said.
type opener func() (Device, error)

// kinds are the words that a spec begins with.
var kinds = []struct {
	word  string
	parse func(p *parser) (opener, error)
}{
	{"tap", parseTAP},
	{"packet", parsePacket},
	{"qemu", parseQEMU},
	{"qemu-dgram", parseDatagram},
	{"unixgram", parseUnixgram},
	{"stdio", parseStdio},
	{"vxlan", parseVXLAN},
}

func parse(spec string) (opener, error) {
	p := &parser{spec: spec}
	word, rest, ok := strings.Cut(spec, ":")
	var words []string
	for _, k := range kinds {
		words = append(words, k.word)
		if k.word != word {
			continue
		}
		if !ok {
			return nil, p.fail(len(spec), "", "want a colon after %s", word)
		}
		p.split(len(word)+1, rest)
		return k.parse(p)
	}
	return nil, p.fail(0, word, "no such kind of port; there is %s", strings.Join(words, ", "))
}

// part is what stands between two commas of a spec.
type part struct {
	at   int // offset in bytes
	text string
}

// after is the part behind its first n bytes.
func (t part) after(n int) part { return part{t.at + n, t.text[n:]} }

// parser takes a spec apart, the word that it begins with aside.
type parser struct {
	spec  string
	first part   // up to the first comma
	rest  []part // options
	mtu   int    // of the option mtu, or 0
}

func (p *parser) split(at int, text string) {
	for i, s := range strings.Split(text, ",") {
		t := part{at, s}
		if i == 0 {
			p.first = t
		} else {
			p.rest = append(p.rest, t)
		}
		at += len(s) + 1
	}
}

// fail makes the error about the token at an offset in bytes.
func (p *parser) fail(at int, token, format string, args ...any) error {
	return &SpecError{
		Spec:   p.spec,
		Column: utf8.RuneCountInString(p.spec[:at]) + 1,
		Token:  token,
		Msg:    fmt.Sprintf(format, args...),
	}
}

func (p *parser) bad(t part, format string, args ...any) error {
	return p.fail(t.at, t.text, format, args...)
}

// option is one that a kind of port has besides mtu.
type option struct {
	word string
	set  func(value part) error // with a value: word=value
	flag *bool                  // without
}

// options reads what stands behind the first comma.
func (p *parser) options(known ...option) error {
	known = append(known, option{word: "mtu", set: func(v part) (err error) {
		p.mtu, err = p.number(v, 68, vswitch.MaxMTU)
		return err
	}})
	for _, t := range p.rest {
		if err := p.option(t, known); err != nil {
			return err
		}
	}
	return nil
}

func (p *parser) option(t part, known []option) error {
	word, _, valued := strings.Cut(t.text, "=")
	var shapes []string
	for _, o := range known {
		shape := o.word
		if o.set != nil {
			shape += "=..."
		}
		shapes = append(shapes, shape)
		switch {
		case o.word != word:
		case valued != (o.set != nil):
			return p.bad(t, "want %s", shape)
		case valued:
			return o.set(t.after(len(word) + 1))
		default:
			*o.flag = true
			return nil
		}
	}
	return p.bad(t, "no such option; there is %s", strings.Join(shapes, ", "))
}

func (p *parser) number(t part, least, most int) (int, error) {
	n, err := strconv.Atoi(t.text)
	if err != nil || n < least || n > most || strconv.Itoa(n) != t.text {
		return 0, p.bad(t, "want a number from %d to %d", least, most)
	}
	return n, nil
}

// hostPort reads HOST:PORT, which may be names; they are looked up on opening.
func (p *parser) hostPort(t part) (string, error) {
	_, port, err := net.SplitHostPort(t.text)
	if err != nil || port == "" {
		return "", p.bad(t, "want HOST:PORT, such as 127.0.0.1:4000 or [::1]:4000")
	}
	return t.text, nil
}

// path reads the name of a socket in the file system.
func (p *parser) path(t part) (string, error) {
	// sun_path of struct sockaddr_un has 108 bytes on Linux, 104 elsewhere, and its
	// end is marked.
	const most = 103
	switch {
	case t.text == "":
		return "", p.bad(t, "want the path of a socket")
	case strings.ContainsRune(t.text, 0):
		return "", p.bad(t, "a path has no zero byte")
	case len(t.text) > most:
		return "", p.bad(t, "the path of a socket has at most %d bytes, this one %d; use a shorter or a relative one", most, len(t.text))
	}
	return t.text, nil
}

// addrPort reads an IP address with or without a port.
func (p *parser) addrPort(t part, port uint16) (netip.AddrPort, error) {
	if a, err := netip.ParseAddrPort(t.text); err == nil && a.Port() != 0 && a.Addr().Zone() == "" {
		return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()), nil
	}
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(t.text, "["), "]"))
	if err != nil || a.Zone() != "" {
		return netip.AddrPort{}, p.bad(t, "want an IP address, with or without a port: 192.0.2.1, 192.0.2.1:4789, [2001:db8::1]:4789")
	}
	return netip.AddrPortFrom(a.Unmap(), port), nil
}

// ifname reads the name of a network interface of Linux.
func (p *parser) ifname(t part) (string, error) {
	const most = 15 // IFNAMSIZ is 16, with the end mark
	if t.text == "" || t.text == "." || t.text == ".." || len(t.text) > most ||
		strings.ContainsFunc(t.text, func(r rune) bool { return r <= ' ' || r == '/' || r == ':' || r == '%' || r > '~' }) {
		return "", p.bad(t, "want an interface's name of 1 to %d letters, digits, and _ . -", most)
	}
	return t.text, nil
}

// mtuOr is the MTU that the spec gave, or another.
func (p *parser) mtuOr(n int) int {
	if p.mtu != 0 {
		return p.mtu
	}
	return n
}

func parseTAP(p *parser) (opener, error) {
	var down bool
	if _, ok := strings.CutPrefix(p.first.text, "fd="); ok {
		fd, err := p.number(p.first.after(len("fd=")), 0, 1<<20)
		if err != nil {
			return nil, err
		}
		if err := p.options(); err != nil {
			return nil, err
		}

		return func() (Device, error) { return openTAPFile(p.spec, fd, p.mtu) }, nil
	}
	name, err := p.ifname(p.first)
	if err != nil {
		return nil, err
	}
	if err := p.options(option{word: "down", flag: &down}); err != nil {
		return nil, err
	}
	return func() (Device, error) { return openTAP(p.spec, name, p.mtu, !down) }, nil
}

func parsePacket(p *parser) (opener, error) {
	name, err := p.ifname(p.first)
	if err != nil {
		return nil, err
	}
	if len(p.rest) > 0 {
		return nil, p.bad(p.rest[0], "packet has no options; its MTU is the interface's")
	}
	return func() (Device, error) { return openPacket(p.spec, name) }, nil
}

// socket reads unix:PATH or NETWORK:HOST:PORT.
func (p *parser) socket(t part, network string) (string, string, error) {
	if path, ok := strings.CutPrefix(t.text, "unix:"); ok {
		path, err := p.path(t.after(len(t.text) - len(path)))
		return "unix", path, err
	}
	if addr, ok := strings.CutPrefix(t.text, network+":"); ok {
		addr, err := p.hostPort(t.after(len(t.text) - len(addr)))
		return network, addr, err
	}
	return "", "", p.bad(t, "want unix:PATH or %s:HOST:PORT", network)
}

func parseQEMU(p *parser) (opener, error) {
	network, addr, err := p.socket(p.first, "tcp")
	if err != nil {
		return nil, err
	}
	var connect bool
	if err := p.options(option{word: "connect", flag: &connect}); err != nil {
		return nil, err
	}
	return func() (Device, error) {
		if connect {
			return dialStream(p.spec, network, addr, p.mtuOr(DefaultMTU))
		}
		return listenStream(p.spec, network, addr, p.mtuOr(DefaultMTU))
	}, nil
}

func parseDatagram(p *parser) (opener, error) {
	var local, remote part
	var network, remoteNetwork, localAddr, remoteAddr string
	p.rest = append([]part{p.first}, p.rest...)
	err := p.options(
		option{word: "local", set: func(v part) (err error) {
			local = v
			network, localAddr, err = p.socket(v, "udp")
			return err
		}},
		option{word: "remote", set: func(v part) (err error) {
			remote = v
			remoteNetwork, remoteAddr, err = p.socket(v, "udp")
			return err
		}})
	switch {
	case err != nil:
		return nil, err
	case local.text == "":
		return nil, p.fail(len(p.spec), "", "want local=unix:PATH or local=udp:HOST:PORT")
	case remote.text != "" && network != remoteNetwork:
		return nil, p.bad(remote, "local is %s, remote %s", network, remoteNetwork)
	}
	return func() (Device, error) {
		return openDatagram(p.spec, network, localAddr, remoteAddr, p.mtuOr(DefaultMTU))
	}, nil
}

func parseUnixgram(p *parser) (opener, error) {
	path, err := p.path(p.first)
	if err != nil {
		return nil, err
	}
	if err := p.options(); err != nil {
		return nil, err
	}
	return func() (Device, error) { return openDatagram(p.spec, "unix", path, "", p.mtuOr(DefaultMTU)) }, nil
}

func parseStdio(p *parser) (opener, error) {
	if p.first.text != "" {
		p.rest = append([]part{p.first}, p.rest...)
	}
	if err := p.options(); err != nil {
		return nil, err
	}
	return func() (Device, error) { return openStdio(p.spec, p.mtuOr(DefaultMTU)) }, nil
}

func parseVXLAN(p *parser) (opener, error) {
	vni, local, ok := strings.Cut(p.first.text, "@")
	if !ok {
		return nil, p.bad(p.first, "want VNI@LOCAL, such as 42@192.0.2.1")
	}
	var cfg vxlanConfig
	n, err := p.number(part{p.first.at, vni}, 0, 1<<24-1)
	if err != nil {
		return nil, err
	}
	cfg.vni = uint32(n)
	at := part{p.first.at + len(vni) + 1, local}
	if cfg.local, err = p.addrPort(at, vxlanPort); err != nil {
		return nil, err
	}
	err = p.options(option{word: "remote", set: func(v part) error {
		r, err := p.addrPort(v, vxlanPort)
		switch {
		case err != nil:
			return err
		case r.Addr().Is4() != cfg.local.Addr().Is4():
			return p.bad(v, "%s and %s are not of one family", r.Addr(), cfg.local.Addr())
		case r.Addr().IsMulticast() || r.Addr().IsUnspecified():
			return p.bad(v, "want the address of one remote")
		case len(cfg.remotes) == maxRemotes:
			return p.bad(v, "there may be %d remotes", maxRemotes)
		}
		for _, had := range cfg.remotes {
			if had == r {
				return p.bad(v, "this remote is there already")
			}
		}
		cfg.remotes = append(cfg.remotes, r)
		return nil
	}})
	if err != nil {
		return nil, err
	}
	cfg.mtu = p.mtu
	return func() (Device, error) { return openVXLAN(p.spec, cfg) }, nil
}
