// Package secret reads Secrets for the translation, and notes which were read and what
// for.
//
// A [Reader] is the only way to a Secret in a translation: [Apart] takes them out of the
// Set that the dialects get. So [Reads] is all that a translation can have gone by, and
// tells whether newer Secrets make a difference to more than key material. These read
// them:
//
//   - The merge reads what listeners show to clients (ServerCertificate) and what is
//     shown to backends (ClientCertificate). It reports a Secret that is not there, a pair
//     that is broken, with its place, and hosts that a server certificate does not cover.
//   - The Gateway API reads certificateRefs of listeners (ServerCertificate) and
//     clientCertificateRef of a Gateway (ClientCertificate): what is broken is in
//     statuses, with the error's text. The authorities of BackendTLSPolicies and of
//     validation in front of Gateways are in ca.crt (Authorities).
//   - An Ingress reads proxy-ssl-secret (ClientCertificate), and with proxy-ssl-verify
//     its ca.crt (Authorities): what is broken closes rules.
//
// A Secret that is read for something else needs a [Use] of its own, and a row in the
// table that says what comes of it beside key material.
package secret
