// Package annotation reads Windrose's own annotations, which mean the same on
// the resources of every dialect. They are for what no dialect can say; a value
// that cannot be understood is for the caller to report.
package annotation
