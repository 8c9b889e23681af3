// Package apps has the built-in applications: an HTTP server and client made of
// plain net/http, TCP and UDP echo, bulk transfers that both ends check, and
// ping.
//
// # A map of the package
//
//   - [App] is what they all are: something that runs on a host and has a
//     [Result], at any time.
//   - [HTTPServer], [HTTPGet]; [EchoServer], [Echo]; [BulkServer], [Bulk];
//     [UDPEchoServer], [UDPEcho]; [Ping]: a configuration each, whose New makes
//     an App.
//   - [Random] is where content comes from that is neither a file nor a text.
//
// Applications wait on the host's clock only, and start no timer of real time,
// so that a run of them repeats. A run ends by closing their connections: a
// server then returns [net.ErrClosed], which is no failure of a run.
package apps
