// Package reason holds the vocabulary in which Windrose says why: where something was
// written ([Origin]), what is wrong with it ([Report]), and how an exchange ended
// ([Outcome]).
//
// Codes and Outcomes are one table each. The generated pages in docs/, metric labels, log
// fields, error bodies and status conditions are all derived from those two tables, so a
// word is spelled once and means one thing everywhere.
//
// The package is a leaf: it imports nothing of Windrose and holds no state.
package reason
