package source

// RuleFixes are the hints for messages of definitions.
func RuleFixes() (fixes []string) {
	for _, f := range ruleFixes {
		fixes = append(fixes, f.fix)
	}
	return fixes
}
