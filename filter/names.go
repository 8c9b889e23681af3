package filter

// words are the words of the language that begin or make up conditions. A word
// cannot be used as a name unless a backslash precedes it: "ip proto \tcp".
var words = map[string]struct{}{}

func init() {
	for p := range protoWords {
		words[string(p)] = struct{}{}
	}
	for p := range isisWords {
		words[string(p)] = struct{}{}
	}
	for k := range kinds {
		words[k] = struct{}{}
	}
	for _, w := range []string{"ether", "link", "es-is", "is-is",
		"src", "dst", "mask", "broadcast", "multicast",
		"and", "or", "not", "len", "length", "less", "greater", "byte",
		"vlan", "mpls", "pppoed", "pppoes", "llc"} {
		words[w] = struct{}{}
	}
}

var kinds = map[string]kind{
	"host": kindHost, "net": kindNet, "port": kindPort, "portrange": kindPortRange, "proto": kindProto,
}

func isQualifier(word string) bool {
	_, ok := kinds[word]
	return ok || word == "src" || word == "dst"
}

func isProtocol(word string) bool {
	_, one := protoWords[protocol(word)]
	_, isis := isisWords[protocol(word)]
	return one || isis || word == "ether"
}

type carrier uint8

const (
	overLink carrier = iota
	overIP
	overIP6
	overBoth
	overISO
)

// Numbers of the OSI network layer, in its first byte (ISO/IEC TR 9577).
const (
	isoCLNP = 0x81
	isoESIS = 0x82
	isoISIS = 0x83
)

// protoWords are the protocols that are a condition by themselves: the number,
// and in which header it stands.
var protoWords = map[protocol]struct {
	over   carrier
	number uint32
}{
	"ip":      {overLink, etherIPv4},
	"ip6":     {overLink, etherIPv6},
	"arp":     {overLink, etherARP},
	"rarp":    {overLink, etherRARP},
	"atalk":   {overLink, etherApple},
	"aarp":    {overLink, etherAppleARP},
	"decnet":  {overLink, etherDECnet},
	"lat":     {overLink, 0x6004},
	"sca":     {overLink, 0x6007},
	"mopdl":   {overLink, 0x6001},
	"moprc":   {overLink, 0x6002},
	"iso":     {overLink, sapISO},
	"stp":     {overLink, sapSTP},
	"ipx":     {overLink, sapIPX},
	"netbeui": {overLink, sapNetBEUI},

	"tcp":   {overBoth, 6},
	"udp":   {overBoth, 17},
	"sctp":  {overBoth, 132},
	"ah":    {overBoth, 51},
	"esp":   {overBoth, 50},
	"pim":   {overBoth, 103},
	"icmp":  {overIP, 1},
	"igmp":  {overIP, 2},
	"igrp":  {overIP, 9},
	"vrrp":  {overIP, 112},
	"carp":  {overIP, 112},
	"icmp6": {overIP6, protoICMPv6},

	"clnp": {overISO, isoCLNP},
	"esis": {overISO, isoESIS},
	"isis": {overISO, isoISIS},
}

// isisWords are the groups of IS-IS packets by the types they have, in the
// order in which they are tested.
var isisWords = map[protocol][]uint32{
	"l1":   {26, 24, 18, 15, 17},
	"l2":   {27, 25, 20, 16, 17},
	"iih":  {17, 15, 16},
	"lsp":  {18, 20},
	"snp":  {27, 26, 24, 25},
	"csnp": {24, 25},
	"psnp": {26, 27},
}

// llcWords are the frame types that "llc" tests the control byte for.
var llcWords = map[string]struct{ value, mask uint32 }{
	"s":     {0x01, 0x03},
	"u":     {0x03, 0x03},
	"rr":    {0x01, 0x0f},
	"rnr":   {0x05, 0x0f},
	"rej":   {0x09, 0x0f},
	"ui":    {0x03, 0xef},
	"ua":    {0x63, 0xef},
	"disc":  {0x43, 0xef},
	"dm":    {0x0f, 0xef},
	"sabme": {0x6f, 0xef},
	"test":  {0xe3, 0xef},
	"xid":   {0xaf, 0xef},
	"frmr":  {0x87, 0xef},
}

// operators of arithmetic. Larger binds tighter; % and ^ have no rank in
// libpcap's grammar: they take all that follows as their right side.
var operators = map[string]struct {
	alu   uint16
	binds int
}{
	"|":  {aluOR, 1},
	"&":  {aluAND, 2},
	"<<": {aluLSH, 3},
	">>": {aluRSH, 3},
	"+":  {aluADD, 4},
	"-":  {aluSUB, 4},
	"*":  {aluMUL, 5},
	"/":  {aluDIV, 5},
	"%":  {aluMOD, unranked},
	"^":  {aluXOR, unranked},
}

const (
	tightest = 6 // unary minus
	unranked = -1
)

var comparisons = map[string]struct {
	jump   uint16
	negate bool
}{
	"=":  {jmpEQ, false},
	"!=": {jmpEQ, true},
	">":  {jmpGT, false},
	"<=": {jmpGT, true},
	">=": {jmpGE, false},
	"<":  {jmpGE, true},
}

// constants are the names of numbers: offsets of fields and their values.
var constants = map[string]uint32{
	"icmptype": 0, "icmpcode": 1,
	"icmp-echoreply": 0, "icmp-unreach": 3, "icmp-sourcequench": 4, "icmp-redirect": 5,
	"icmp-echo": 8, "icmp-routeradvert": 9, "icmp-routersolicit": 10, "icmp-timxceed": 11,
	"icmp-paramprob": 12, "icmp-tstamp": 13, "icmp-tstampreply": 14, "icmp-ireq": 15,
	"icmp-ireqreply": 16, "icmp-maskreq": 17, "icmp-maskreply": 18,

	"icmp6type": 0, "icmp6code": 1,
	"icmp6-destinationunreach": 1, "icmp6-packettoobig": 2, "icmp6-timeexceeded": 3,
	"icmp6-parameterproblem": 4, "icmp6-echo": 128, "icmp6-echoreply": 129,
	"icmp6-multicastlistenerquery": 130, "icmp6-multicastlistenerreportv1": 131,
	"icmp6-multicastlistenerdone": 132, "icmp6-routersolicit": 133, "icmp6-routeradvert": 134,
	"icmp6-neighborsolicit": 135, "icmp6-neighboradvert": 136, "icmp6-redirect": 137,
	"icmp6-routerrenum": 138, "icmp6-nodeinformationquery": 139, "icmp6-nodeinformationresponse": 140,
	"icmp6-ineighbordiscoverysolicit": 141, "icmp6-ineighbordiscoveryadvert": 142,
	"icmp6-multicastlistenerreportv2": 143, "icmp6-homeagentdiscoveryrequest": 144,
	"icmp6-homeagentdiscoveryreply": 145, "icmp6-mobileprefixsolicit": 146,
	"icmp6-mobileprefixadvert": 147, "icmp6-certpathsolicit": 148, "icmp6-certpathadvert": 149,
	"icmp6-multicastrouteradvert": 151, "icmp6-multicastroutersolicit": 152,
	"icmp6-multicastrouterterm": 153,

	"tcpflags": 13,
	"tcp-fin":  0x01, "tcp-syn": 0x02, "tcp-rst": 0x04, "tcp-push": 0x08,
	"tcp-ack": 0x10, "tcp-urg": 0x20, "tcp-ece": 0x40, "tcp-cwr": 0x80,
}

const (
	aboutWireless = "the words for 802.11 are"
	aboutPF       = "the words for logs of the pf firewall are"
	aboutATM      = "the words for ATM are"
	aboutSS7      = "the words for SS7 are"
	aboutMedia    = "link layers other than Ethernet are"
	aboutCapture  = "what only a live capture knows (direction, interface) is"
)

// refusedWords are the rest of tcpdump's words, and what they are.
var refusedWords = map[string]string{}

func init() {
	for about, list := range map[string][]string{
		aboutWireless: {"type", "subtype", "direction", "dir", "ra", "ta", "radio",
			"addr1", "addr2", "addr3", "addr4", "address1", "address2", "address3", "address4"},
		aboutPF: {"on", "ifname", "rset", "ruleset", "rnr", "rulenum", "srnr", "subrulenum",
			"reason", "action"},
		aboutATM: {"lane", "metac", "bcc", "oam", "oamf4", "oamf4ec", "oamf4sc", "sc", "ilmic",
			"vpi", "vci", "connectmsg", "metaconnect"},
		aboutSS7: {"fisu", "lssu", "lsu", "msu", "hfisu", "hlssu", "hmsu", "sio", "opc", "dpc",
			"sls", "hsio", "hopc", "hdpc", "hsls"},
		aboutMedia:                {"ppp", "slip", "fddi", "tr", "wlan"},
		aboutCapture:              {"inbound", "outbound", "ifindex"},
		"looking up gateways is":  {"gateway"},
		"protocol chains are":     {"protochain"},
		"Geneve encapsulation is": {"geneve"},
	} {
		for _, w := range list {
			refusedWords[w] = about
		}
	}
}
