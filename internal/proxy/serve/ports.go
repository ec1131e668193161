package serve

// The default addresses.
const (
	DefaultAdmin     = "127.0.0.1:15000"
	DefaultTelemetry = ":15020"
)

// Port is a row of docs/ports.md.
type Port struct{ Address, Of, Doc string }

// Ports returns the addresses that Windrose opens by default, besides those that
// resources define.
func Ports() []Port {
	return []Port{
		{DefaultAdmin, "all programs", "Admin API, below. Loopback only; the Host header must be a loopback name. --admin moves it."},
		{DefaultTelemetry, "windrose-gateway, windrose-proxy", "/metrics /ready /live and nothing else, for the pod's network. --telemetry moves it."},
		{"127.0.0.1:8080", "windrose run", "Where listener port 80 is published. --publish 80=ADDR:PORT moves it."},
		{"127.0.0.1:8443", "windrose run", "Where listener port 443 is published: on TCP, and on UDP for HTTP/3. --publish 443=ADDR:PORT moves both."},
	}
}
