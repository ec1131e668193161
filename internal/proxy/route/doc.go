// Package route finds the rule for a request: [Compile] turns the model's
// hosts into a [Table], and [Table.Match] looks up listener, host and path.
//
// A lookup allocates nothing and costs the same however many rules there are:
// hosts, exact paths and prefixes are hash maps, and a prefix costs a probe
// for each depth at which the host has prefixes at all. Only rules by regular
// expression, and those for one path that differ by their conditions, are tried
// one after another, and RE2 bounds each expression.
//
// With a [Trace], Match also says which rules it did not choose, and what each
// of them failed by. The choice is made by the same code.
//
// Paths are compared in canonical form ([Canonical]), computed once a request,
// so that matching, filters and what the backend sees cannot disagree. Fields
// are compared as they came in, but for those that say who the client is and
// that it may not say.
package route
