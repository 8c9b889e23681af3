package main

// must returns v, or panics with the error: a program of a page may.
func must[T any](v T, err error) T {
	check(err)
	return v
}

// check panics with the first error there is.
func check(errs ...error) {
	for _, err := range errs {
		if err != nil {
			panic(err)
		}
	}
}
