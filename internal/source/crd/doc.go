// Package crd does to an object of a custom kind what an API server does when
// the object is created: it prunes, defaults and validates it by the schema of
// its CustomResourceDefinition, with the rules in CEL. So a directory gives the
// objects that a cluster would give, and refuses what a cluster would refuse,
// in the same words.
//
// The work is done by the packages that the API server itself uses
// (k8s.io/apiextensions-apiserver). This package keeps their API away from the
// rest of Windrose: maps go in, maps and [Problem]s come out.
//
// The definitions are those of the Gateway API's experimental channel. They are
// copied from its module, without their descriptions, by gen:
//
// A definition is read, and its rules are compiled, when the first object of
// its kind and version comes. That takes up to some 100 ms, once in a process.
//
//go:generate go run ./gen
package crd
