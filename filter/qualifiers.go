package filter

// kind is the type qualifier: what sort of thing an address is.
type kind uint8

const (
	kindDefault kind = iota
	kindHost
	kindNet
	kindPort
	kindPortRange
	kindProto
	kindNone // nothing to inherit: after a term that takes no address
)

// direction is the dir qualifier.
type direction uint8

const (
	dirDefault direction = iota
	dirSrc
	dirDst
	dirEither
	dirBoth
)

// protocol is the proto qualifier, by the word for it; "" is none.
type protocol string

// qualifiers say how to read the address that follows them. Addresses joined
// to one another with and/or inherit them: "tcp dst port 80 or 443".
type qualifiers struct {
	proto protocol
	dir   direction
	kind  kind
}

// inDirection makes the condition that the direction asks for of those for the
// source and for the destination. Each is made only when needed and in this
// order, since making a condition may fail.
func inDirection(dir direction, src, dst func() *cond) *cond {
	switch dir {
	case dirSrc:
		return src()
	case dirDst:
		return dst()
	case dirBoth:
		return and(src(), dst())
	}
	return or(src(), dst())
}
