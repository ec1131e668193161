package standalone

import (
	"bufio"
	"fmt"
	"os"
	"strings"
)

// isBound reports whether any process has opened a UDP port. UDP has no handshake to
// probe with, so this reads /proc/net/udp, which lists local addresses as ADDRESS:PORT in
// hexadecimal (proc(5)).
func isBound(port int32) bool {
	suffix := fmt.Sprintf(":%04X", port)
	for _, file := range []string{"/proc/net/udp", "/proc/net/udp6"} {
		f, err := os.Open(file)
		if err != nil {
			continue
		}
		defer f.Close()
		for lines := bufio.NewScanner(f); lines.Scan(); {
			if fields := strings.Fields(lines.Text()); len(fields) > 1 && strings.HasSuffix(fields[1], suffix) {
				return true
			}
		}
	}
	return false
}
