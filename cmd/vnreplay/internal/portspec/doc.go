// Package portspec reads how a port of a live switch is written on a command line and
// in a file, and makes a [live.Port] of it:
//
//	[NAME=]KIND:...[,OPTION=VALUE]...            a device; see package tap for the kinds
//	[NAME=]host:ADDR/LEN[,...][=APP[+APP]...]    a host with a TCP/IP stack
//
// Options of any port are latency=TIME, rate=RATE, queue=64p and mac=ADDRESS; they are
// those of its cable. mtu=BYTES is the device's or the host's. A host has also
// gateway=ADDRESS; its options stand before the first APP, which is one of
//
//	echo-server[@PORT]                           TCP, 7 if not said otherwise
//	udp-echo-server[@PORT]                       7
//	bulk-server[@PORT]                           5001
//	http-server[@PORT]:/PATH=FILE[,...]          80
//
// FILE may be a directory: then all files below it are served under /PATH, and its
// index.html at /PATH itself. Files are read at the start.
//
// A port without a name has that of its interface or socket, a host that of its first
// address, with dashes for colons.
//
// [Parse] does it; its errors are [*Error] and know the column.
package portspec
