package faults

// FieldNames are the names of all fields, for the tests outside.
func FieldNames() []string {
	names := make([]string, len(fields))
	for i := range fields {
		names[i] = fields[i].name
	}
	return names
}
