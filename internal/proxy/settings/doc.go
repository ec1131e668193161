// Package settings has the [Limits] that the operator of a proxy can set. Each has a
// default, a flag, and a row in docs/settings.md.
//
// Limits are values: a proxy takes them when it is made, and they do not change.
package settings
