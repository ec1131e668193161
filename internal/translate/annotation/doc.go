// Package annotation reads Windrose's own annotations, which mean the same on the
// resources of every dialect. They express what no dialect can. Callers report invalid
// values.
package annotation
