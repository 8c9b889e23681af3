package replay

// ReadUpTo is Read with other bounds.
var ReadUpTo = readUpTo

// Network is an address with a network that all its peers are on.
var Network = network
