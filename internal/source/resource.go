package source

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Resource is one object as a source has read it, as far as it could be read.
type Resource struct {
	Kind *Kind
	// Name has no name part if that could not be read, or is too long to be one.
	Name Name
	// Line is that of the object in its document; 0 is unknown.
	Line  int
	Value metav1.Object
	Lines Lines
	// Problems are what is wrong with it. An object with problems is broken.
	Problems []Problem
	// Guards: it restricts who may reach something.
	Guards bool
	// Incomplete: a part of the spec could not be read.
	Incomplete bool
}

// Check adds what an API server would refuse beyond the names and types of fields, up to
// a number of problems. It sees the object as it was written, without defaults.
func (r *Resource) Check(most int) {
	c := &checker{object: r, most: most}
	c.metadata()
	r.Kind.check(c, r.Value)
	r.Problems = append(r.Problems, c.problems...)
}

// Complete sets the defaults of an API server, and drops what nothing reads.
func (r *Resource) Complete() {
	r.Kind.complete(r.Value)
	r.Kind.project(r.Value)
	projectMeta(r.Value)
}
