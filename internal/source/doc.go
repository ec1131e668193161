// Package source turns a directory of resources into a [Set]: everything known
// now, typed, defaulted, indexed and read-only.
//
// Reading never fails as a whole. What is wrong becomes a reason.Report with
// file, line and field, and only the resource that is wrong is set aside: one
// that was good before stays as it was, one that guards something leaves a
// [Tombstone], so that what it guarded can be closed. The rest goes live.
//
// A Set is a value. Those who hold one see no later change, may share it
// between goroutines, and must not modify what it points to. A change on disk
// is only a signal ("dirty"); the next Load makes the next Set, and decodes
// only the documents whose text is new.
package source
