package pcap

import (
	"fmt"
	"strings"
)

// BlockCount counts blocks of a type that are passed over.
type BlockCount struct {
	Type   uint32
	Blocks int
	First  int64 // byte offset of the first
}

// String says what and how many they are: "2 custom blocks".
func (c BlockCount) String() string {
	name, ok := blockNamed[c.Type]
	if !ok {
		name = fmt.Sprintf("block of unknown type %#x", c.Type)
	}
	if c.Type == anyBlock {
		name = "block of further unknown types"
	}
	if c.Blocks != 1 {
		name = strings.Replace(name, "block", "blocks", 1)
	}
	return fmt.Sprintf("%d %s", c.Blocks, name)
}

// blockNamed names the types of blocks that the format reserves and that are
// passed over: what they hold is no traffic.
var blockNamed = map[uint32]string{
	blockNames:    "name resolution block",
	7:             "IRIG timestamp block",
	8:             "ARINC 429 block",
	blockJournal:  "systemd journal block",
	blockSecrets:  "decryption secrets block",
	0x101:         "Hone machine info block",
	0x102:         "Hone connection event block",
	blockCustom:   "custom block",
	blockCustomNo: "custom block",
}

// maxOthers bounds the types that are counted apart; the rest counts as anyBlock.
const (
	maxOthers = 64
	anyBlock  = 0xffffffff
)

// other counts the current block, which is of no use.
func (s *ngScanner) other(kind uint32) {
	if kind == blockCustomNo {
		kind = blockCustom
	}
	for i := range s.others {
		c := &s.others[i]
		if c.Type == kind || i == maxOthers {
			c.Blocks++
			return
		}
	}
	if len(s.others) == maxOthers {
		kind = anyBlock
	}
	s.others = append(s.others, BlockCount{kind, 1, s.cur.offset})
}
