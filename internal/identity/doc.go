// Package identity says who a workload or a peer is: SPIFFE IDs, and what a verified
// certificate says about its holder.
//
// Everything here is a value. An [ID] is compared as a whole. A [Peer] is made from a
// certificate that the caller has verified; never make one from an unverified
// certificate. Package policy decides who may connect.
package identity
