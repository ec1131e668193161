// Package reason holds the words in which Windrose says why: where a statement
// stands ([Origin]), what is wrong with it ([Report]), and how one exchange
// ended ([Outcome]).
//
// Each of Code and Outcome is one table. The generated pages in docs/, metric
// labels, log fields, error bodies and status conditions are all projections of
// those two tables, so a word is spelled once and means one thing everywhere.
//
// The package is a leaf: it imports nothing of Windrose and holds no state.
package reason
