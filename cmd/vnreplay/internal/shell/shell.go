// Package shell quotes what is printed for people to paste into a POSIX shell.
package shell

import "strings"

// Word is a text as one word of a shell, quoted if it needs that.
func Word(s string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:=@%+,"
	if s != "" && strings.Trim(s, plain) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// File is the name of a file as one word of a shell that no command takes for a flag.
// "-" stays what it is: the standard input.
func File(name string) string {
	if len(name) > 1 && name[0] == '-' {
		name = "./" + name
	}
	return Word(name)
}
