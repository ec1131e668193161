package model

import (
	"strings"
	"testing"

	"windrose.dev/windrose/internal/reason"
)

// TestValidateRules: each change of a valid rule makes it one that no proxy may
// compile, and the error says why.
func TestValidateRules(t *testing.T) {
	valid := sample()
	if err := Validate(&valid); err != nil {
		t.Fatal(err)
	}
	cors := func(change func(*CORS)) func(*Rule) {
		return func(r *Rule) {
			r.CORS = &CORS{AllowOrigins: []string{"*"}}
			change(r.CORS)
		}
	}
	for _, test := range []struct {
		want   string
		change func(*Rule)
	}{
		{"", func(r *Rule) { r.Respond = &Respond{503, reason.InternalError, ""} }},
		{"unknown outcome", func(r *Rule) { r.Respond = &Respond{503, reason.InternalError + 1, ""} }},
		{"unknown outcome", func(r *Rule) { r.Respond = &Respond{503, 255, ""} }},
		{"", cors(func(c *CORS) { c.AllowMethods, c.AllowHeaders, c.ExposeHeaders = "GET", "X-A", "X-B" })},
		{"control characters", cors(func(c *CORS) { c.AllowMethods = "GET\r\nX-A: b" })},
		{"control characters", cors(func(c *CORS) { c.AllowHeaders = "X-A\x00" })},
		{"control characters", cors(func(c *CORS) { c.ExposeHeaders = "X-A\n" })},
		{"control characters", cors(func(c *CORS) { c.AllowOrigins = []string{"https://a.example.com\r"} })},
		{"a comma in an origin", cors(func(c *CORS) { c.AllowOrigins = []string{"https://a.example.com,b"} })},
		{"", func(r *Rule) { r.Path = PathMatch{PrefixPath, "/"} }},
		{"", func(r *Rule) { r.Path = PathMatch{PrefixPath, "/a"} }},
		{"", func(r *Rule) { r.Path = PathMatch{ExactPath, "/a/"} }},
		{"ends with a slash", func(r *Rule) { r.Path = PathMatch{PrefixPath, "/a/"} }},
		{"ends with a slash", func(r *Rule) { r.Path = PathMatch{PrefixPath, "//"} }},
	} {
		parts := sample()
		rule := Rule{ID: "changed", Path: PathMatch{PrefixPath, "/a"}, Respond: &Respond{503, reason.Closed, ""}}
		test.change(&rule)
		parts.Config.Hosts[1].Blocks[0].Rules = append(parts.Config.Hosts[1].Blocks[0].Rules, rule)
		err := Validate(&parts)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("want %q, got %v", test.want, err)
		}
	}
}
