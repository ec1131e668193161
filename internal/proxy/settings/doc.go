// Package settings has what whoever runs a proxy can set of it: [Limits], each of
// them a flag and a row of docs/settings.md, with its default.
//
// Limits are values: a proxy takes them when it is made, and they do not change.
package settings
