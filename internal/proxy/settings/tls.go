package settings

import (
	"strings"

	"windrose.dev/windrose/internal/model"
)

// versionValue and suitesValue are the flags of a TLSPolicy.
type (
	versionValue model.TLSVersion
	suitesValue  []string
)

func (v *versionValue) String() string { return model.TLSVersion(*v).String() }

func (v *versionValue) Set(text string) error {
	version, err := model.ParseTLSVersion(text)
	*v = versionValue(version)
	return err
}

func (v *suitesValue) String() string { return strings.Join(*v, ",") }

func (v *suitesValue) Set(list string) error {
	suites, err := model.ParseSuites(list)
	*v = suites
	return err
}
