package msg

import (
	"math"
	"math/big"
	"strconv"
	"strings"
	"testing"
)

// The largest valid lengths, by RFC 9110 §8.6: a length that cannot be represented is
// rejected, and never taken for another one.
func TestParseLengthAtItsEdges(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "5": 5, "0005": 5, "1152921504606846976": 1 << 60,
		"1152921504606846977": -1, "9223372036854775807": -1, "9223372036854775808": -1,
		"9999999999999999999": -1, "18446744073709551615": -1, "18446744073709551616": -1, "18446744073709551621": -1,
		strings.Repeat("9", 40): -1, strings.Repeat("0", 40) + "5": -1,
		"": -1, "+5": -1, "-5": -1, " 5": -1, "5 ": -1, "0x5": -1, "5,5": -1, "٥": -1,
	} {
		got, ok := ParseLength([]byte(text))
		if ok != (want >= 0) || ok && got != want {
			t.Errorf("%q: got %d, %t; want %d", text, got, ok, want)
		}
	}
}

func TestParseStatusAndPort(t *testing.T) {
	for text, want := range map[string]bool{"100": true, "599": true, "099": false, "600": false, "1000": false, "20": false, "2x0": false, "": false} {
		if _, ok := ParseStatus(text); ok != want {
			t.Errorf("status %q: got %t", text, ok)
		}
	}
	for text, want := range map[string]bool{"0": true, "65535": true, "00080": true, "65536": false, "000080": false, "99999": false, "": false, "+1": false} {
		if _, ok := ParsePort(text); ok != want {
			t.Errorf("port %q: got %t", text, ok)
		}
	}
}

// FuzzParseDecimal compares the parser with arbitrary-precision arithmetic.
func FuzzParseDecimal(f *testing.F) {
	for _, most := range []uint64{0, 1, 9, 599, 1<<16 - 1, MaxLength, math.MaxInt64, math.MaxUint64} {
		for _, text := range []string{"", "0", "10", strconv.FormatUint(most, 10), strconv.FormatUint(most, 10) + "0", "9999999999999999999", "18446744073709551616"} {
			f.Add(text, most)
		}
	}
	f.Fuzz(func(t *testing.T, text string, most uint64) {
		got, ok := ParseDecimal(text, most)
		digits := len(text) > 0 && strings.Trim(text, "0123456789") == ""
		exact, _ := new(big.Int).SetString(text, 10)
		want := digits && exact.Cmp(new(big.Int).SetUint64(most)) <= 0
		if ok != want || ok && exact.Cmp(new(big.Int).SetUint64(got)) != 0 {
			t.Fatalf("%q up to %d: got %d, %t; want %v, %t", text, most, got, ok, exact, want)
		}
	})
}

// FuzzHexDigits compares chunk sizes with arbitrary-precision arithmetic.
func FuzzHexDigits(f *testing.F) {
	for _, text := range []string{"0", "fff", "FfFf", "1000000000000000", "1000000000000001", "7fffffffffffffff", "ffffffffffffffff", "10000000000000000", "g"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, ok := uint64(0), true
		for i := 0; i < len(text) && ok; i++ {
			n, ok = AppendHexDigit(n, text[i], MaxLength)
		}
		if strings.Trim(text, "0123456789abcdefABCDEF") != "" {
			if ok {
				t.Fatalf("%q was taken", text)
			}
			return
		}
		exact, isNumber := new(big.Int).SetString(text, 16)
		if text == "" || !isNumber {
			return
		}
		if want := exact.Cmp(big.NewInt(MaxLength)) <= 0; ok != want || ok && exact.Uint64() != n {
			t.Fatalf("%q: got %d, %t; want %v, %t", text, n, ok, exact, want)
		}
	})
}
