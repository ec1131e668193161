// Package source turns directories of resources into a [Set]: everything known
// now, typed, defaulted, indexed and read-only.
//
// Reading never fails as a whole. What is wrong becomes a reason.Report with
// file, line and field, and only the resource that is wrong is set aside: one
// that was good before stays as it was ([Stale]), one that guards something
// leaves a [Tombstone], so that what it guarded can be closed. The rest goes
// live.
//
// The way of a byte: scan (which files) → read → split (documents) → parse
// (YAML nodes) → decode (reflection into the Kubernetes types, strictly, with a
// line for each field) → check and default (one table, kinds.go; custom kinds by
// their definitions, package crd) → settle (who wins a name, what is kept from
// before) → Set. Up to settle, a document is a pure function of its text, and is
// kept by its text: a save decodes only what is new.
//
// A Set is a value. Those who hold one see no later change, may share it
// between goroutines, and must not modify what it points to. A change on disk
// is only a signal ("dirty", see [Loader.Watch]); the next Load makes the next
// Set.
package source
