// Package dir reads directories of resources into [source.Set] values.
//
// Reading never fails as a whole. What is wrong becomes a reason.Report with file, line
// and field; a file that may be half written counts as it was before for a moment.
//
// The way of a byte: scan (which files) → read → split (documents) → parse (YAML nodes) →
// decode (reflection into the Kubernetes types, strictly, with a line for each field) →
// check and default (package source) → [source.Builder] → Set. Up to the Builder, a
// document is a pure function of its text, and is kept by its text: a save decodes only
// what is new.
//
// A change on disk is only a signal ("dirty", see [Loader.Watch]); the next Load makes
// the next Set. Everything is bounded (see [Config]): the files are users' to write.
package dir
