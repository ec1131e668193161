// Package route finds the rule for a request: [Compile] turns the model's
// hosts into a [Table], and [Table.Match] looks up listener, host and path.
//
// A lookup allocates nothing, and its cost does not depend on the number of rules:
// hosts, exact paths and prefixes are hash maps, and a prefix costs one probe for each
// depth at which the host has prefixes. Only rules by regular expression, and those for
// one path that differ by their conditions, are tried one by one, and RE2 bounds each
// expression.
//
// With a [Trace], Match also records the rules that it did not choose, and the first
// condition that each of them failed. The choice is made by the same code.
//
// Paths are compared in canonical form ([Canonical]), which is computed once per
// request, so that matching, filters and the backend cannot disagree about them. Header
// fields are compared as they were received, except for fields that say who the client
// is, if the client is not trusted to send them.
package route
