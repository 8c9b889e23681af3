module github.com/vnreplay/vnreplay

go 1.26.3

require github.com/gopacket/gopacket v1.7.7 // indirect
