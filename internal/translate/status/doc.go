// Package status has what a controller would write into the status of objects, in no
// dialect's own types: an [Object] is made of the parts that statuses of Kubernetes
// consist of, and a dialect fills those that its kinds have.
//
// It refuses nothing and knows no resource: [Merge] brings the lists of all dialects
// together, and [List.String] is their text form. Turning an Object into the status of a
// kind, with its times, is for whoever writes it; package gateway has the types of the
// Gateway API.
package status
