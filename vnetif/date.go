package vnetif

import "net/http"

// DateHandler sets the Date header of every answer to the world's clock before
// it calls next. net/http's server otherwise writes the wall clock into the
// bytes, so that no two recordings are the same. It does not reach answers that
// the server gives by itself, such as 400 Bad Request.
func DateHandler(h *Host, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", h.Now().Format(http.TimeFormat))
		next.ServeHTTP(w, r)
	})
}
