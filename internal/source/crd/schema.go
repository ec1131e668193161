package crd

import (
	"reflect"

	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"k8s.io/kube-openapi/pkg/validation/strfmt"
	"k8s.io/kube-openapi/pkg/validation/validate"
)

// mostErrors bounds the errors that a schema finds in one object, because the
// API server's validator compares each error with all others: an object of the
// largest size could keep it busy for hours.
const mostErrors = 500

// validateSchema checks an object against a schema. Beyond mostErrors it stops
// looking, and which errors it has found by then is not defined.
func validateSchema(schema *spec.Schema, object map[string]any) field.ErrorList {
	b := &boundedValidator{schema: schema}
	return validation.ValidateCustomResource(nil, object, b)
}

// boundedValidator is the API server's validator of schemas for one object.
type boundedValidator struct {
	schema *spec.Schema
	found  int // errors
}

func (b *boundedValidator) Validate(object any, _ ...validation.ValidationOption) *validate.Result {
	return validate.NewSchemaValidator(b.schema, nil, "", strfmt.Default, b.partsToo).Validate(object)
}

// partsToo is the option that has b validate the parts of a value.
func (b *boundedValidator) partsToo(o *validate.SchemaValidatorOptions) {
	o.NewValidatorForField = func(_ string, schema *spec.Schema, root any, path string, formats strfmt.Registry, _ ...validate.Option) validate.ValueValidator {
		return b.part(schema, root, path, formats)
	}
	o.NewValidatorForIndex = func(_ int, schema *spec.Schema, root any, path string, formats strfmt.Registry, _ ...validate.Option) validate.ValueValidator {
		return b.part(schema, root, path, formats)
	}
}

func (b *boundedValidator) part(schema *spec.Schema, root any, path string, formats strfmt.Registry) validate.ValueValidator {
	if b.found >= mostErrors {
		return passed{}
	}
	return &countedValidator{validate.NewSchemaValidator(schema, root, path, formats, b.partsToo), b}
}

// countedValidator validates a part of an object and counts its errors.
type countedValidator struct {
	*validate.SchemaValidator
	all *boundedValidator
}

func (c *countedValidator) Validate(value any) *validate.Result {
	before := c.all.found
	result := c.SchemaValidator.Validate(value)
	// Errors of the parts below are in result too, and counted already.
	c.all.found = max(c.all.found, before+len(result.Errors))
	return result
}

// passed finds nothing wrong.
type passed struct{}

func (passed) SetPath(string)                 { /* it has no errors to place */ }
func (passed) Applies(any, reflect.Kind) bool { return true }
func (passed) Validate(any) *validate.Result  { return &validate.Result{} }
