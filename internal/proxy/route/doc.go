// Package route finds the rule for a request: [Compile] turns the model's
// hosts into a [Table], and [Table.Match] looks up listener, host and path.
//
// A lookup allocates nothing and costs the same however many rules there are:
// hosts, exact paths and prefixes are hash maps, and a prefix costs a probe
// for each depth at which the host has prefixes at all. Only rules by regular
// expression are tried one after another, and RE2 bounds each of them.
//
// Paths are compared in canonical form ([Canonical]), computed once a request,
// so that matching, filters and what the backend sees cannot disagree.
package route
