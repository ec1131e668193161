// Package source is what a Set is: the kinds of resources, their checks, defaults and
// projections, and the rules by which one [Set] follows another.
//
// A source reads [Resource] values and gives them to a [Builder]; package dir reads
// directories, and an API server would be another source. The Builder never fails as a
// whole. What is wrong becomes a reason.Report, and only the resource that is wrong is
// set aside: one that was good before stays as it was ([Stale]), one that guards
// something leaves a [Tombstone], so that what it guarded can be closed. The rest goes
// live.
//
// Kinds are rows of one table ([Kinds]). A row says how objects are checked and defaulted
// as an API server would (custom kinds by their definitions, package crd), and what of
// them is kept.
//
// A Set is a value. Those who hold one see no later change, may share it between
// goroutines, and must not modify what it points to.
package source
