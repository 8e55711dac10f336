// Package setting says what is wrong with a configuration. Every error names the key
// that it is about, so that whoever read the file can tell the line, and all that is
// wrong is told at once.
package setting

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// An Error is one thing that is wrong.
type Error struct {
	// Key is the path of the key: budget.rate, policy[0].name. Empty for the
	// configuration as a whole.
	Key string
	// Text says what is wrong, and what to do.
	Text string
}

// Error gives the key and the text.
func (e *Error) Error() string {
	if e.Key == "" {
		return e.Text
	}
	return e.Key + ": " + e.Text
}

// Errors are all that is wrong. The zero value is nothing.
type Errors []*Error

// Error gives each error a line.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, one := range e {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// Err is e as an error; nil when nothing is wrong.
func (e Errors) Err() error {
	if len(e) == 0 {
		return nil
	}
	return e
}

// Wrong adds what is wrong with the key.
func (e *Errors) Wrong(key, format string, args ...any) {
	*e = append(*e, &Error{Key: key, Text: fmt.Sprintf(format, args...)})
}

// Add adds what err holds, below the key. An error that names no key of its own is
// about this one.
func (e *Errors) Add(key string, err error) {
	for _, one := range All(err) {
		*e = append(*e, &Error{Key: Join(key, one.Key), Text: one.Text})
	}
}

// Wrong is an Error about the key.
func Wrong(key, format string, args ...any) error {
	return &Error{Key: key, Text: fmt.Sprintf(format, args...)}
}

// Below is err with the key before its own.
func Below(key string, err error) error {
	var e Errors
	e.Add(key, err)
	return e.Err()
}

// All gives the errors that err holds. Any other error is one without a key.
func All(err error) Errors {
	var all Errors
	var one *Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &all):
		return all
	case errors.As(err, &one):
		return Errors{one}
	}
	return Errors{{Text: err.Error()}}
}

// Join puts a key below another: budget and rate make budget.rate, keys and [0]
// make keys[0].
func Join(key, below string) string {
	if key == "" || below == "" || below[0] == '[' {
		return key + below
	}
	return key + "." + below
}

// Nearest gives the known name that word is most likely meant to be; false when none
// is near enough to be worth a question.
func Nearest(word string, known []string) (string, bool) {
	// A third of the letters may be wrong, at least one: more is another word.
	best, most := "", max(1, len(word)/3)+1
	for _, name := range slices.Sorted(slices.Values(known)) {
		if d := distance(strings.ToLower(word), strings.ToLower(name)); d < most {
			best, most = name, d
		}
	}
	return best, best != ""
}

// distance counts the letters to put in, take out, replace, or swap with their
// neighbour, to make b of a (the restricted Damerau-Levenshtein distance).
func distance(a, b string) int {
	above, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range a {
		row[0] = i + 1
		for j := range b {
			replace := last[j]
			if a[i] != b[j] {
				replace++
			}
			row[j+1] = min(replace, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], above[j-1]+1)
			}
		}
		above, last, row = last, row, above
	}
	return last[len(b)]
}
