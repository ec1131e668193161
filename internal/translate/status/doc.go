// Package status holds the status that a controller would write into objects, in types of
// no dialect. An [Object] has the parts that Kubernetes statuses consist of; a dialect
// fills those that its kinds have.
//
// It refuses nothing and knows no resource. [Merge] joins the lists of all dialects, and
// [List.String] is their text form. The caller that writes the status converts an Object
// to the status of a kind, with its times; package gateway has the types of the Gateway
// API.
package status
