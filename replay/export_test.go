package replay

// ReadUpTo is Read with other bounds.
var ReadUpTo = readUpTo
