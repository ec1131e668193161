// Package upstream holds the live things towards backends that outlive a
// configuration swap: connection pools, and the turn-taking and load of each
// service.
//
// A [Registry] keeps them by key. A new Generation asks it for the endpoints
// and services that it names, and gets those that are already there; what no
// Generation names any more is retired: its idle connections are closed, and
// those in use are closed when they come back. Nobody counts references: an
// exchange that still holds a retired [Endpoint] can finish on it.
//
// A [Name] is a host whose addresses are endpoints: it is looked up again and
// again while a Generation names it, and keeps what it knew while nobody can say.
//
// A [TLS] is how connections to the endpoints of one service are secured: whom
// they must lead to, who vouches for that, and what we show. It refuses to be
// made without all of it. Connections are shared by [Key] alone.
package upstream
