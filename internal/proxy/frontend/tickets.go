package frontend

import (
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"maps"
	"sync"
	"time"

	"windrose.dev/windrose/internal/model"
)

const (
	// ticketRotation is how long one master key encrypts session tickets.
	ticketRotation = 8 * time.Hour
	// ticketMasters is how many master keys can still decrypt them.
	ticketMasters = 3
)

// ticketKeys derives the keys of TLS session tickets from rotating masters and
// from the names and certificates of a listener, and the TLS policy of a name: a
// session does not outlive what it was made with.
type ticketKeys struct {
	mu      sync.Mutex
	masters [][]byte // newest first
	serving map[model.ListenerID][]ticketUser
}

type ticketUser struct {
	config *tls.Config
	policy string
}

func newTicketKeys() *ticketKeys {
	k := &ticketKeys{serving: map[model.ListenerID][]ticketUser{}}
	k.rotate()
	return k
}

// serve sets the keys of configs now and at each rotation. They replace those
// that the listener had before.
func (k *ticketKeys) serve(id model.ListenerID, users []ticketUser) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.serving[id] = users
	k.set(users)
}

// retain forgets the listeners that are not named.
func (k *ticketKeys) retain(named func(model.ListenerID) bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	maps.DeleteFunc(k.serving, func(id model.ListenerID, _ []ticketUser) bool { return !named(id) })
}

func (k *ticketKeys) set(users []ticketUser) {
	for _, user := range users {
		user.config.SetSessionTicketKeys(k.of(user.policy))
	}
}

// of derives the keys of one policy.
func (k *ticketKeys) of(policy string) [][32]byte {
	keys := make([][32]byte, len(k.masters))
	for i, master := range k.masters {
		key, err := hkdf.Key(sha256.New, master, nil, "windrose session tickets\n"+policy, 32)
		if err != nil {
			panic(err) // the lengths are constants
		}
		keys[i] = [32]byte(key)
	}
	return keys
}

func (k *ticketKeys) rotate() {
	master := make([]byte, 32)
	rand.Read(master)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.masters = append([][]byte{master}, k.masters[:min(len(k.masters), ticketMasters-1)]...)
	for _, users := range k.serving {
		k.set(users)
	}
}

func (k *ticketKeys) run(ctx context.Context) error {
	tick := time.NewTicker(ticketRotation)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			k.rotate()
		}
	}
}
