// Package httptest shows how to test an unmodified net/http handler over a bad
// network in virtual time: minutes of it pass in milliseconds, and the test sees
// the same frames every time. All there is to it is in handler_test.go, to be
// copied and changed.
package httptest
