package outcome

import "testing"

func FuzzCanonical(f *testing.F) {
	f.Add([]byte(`{"b":1,"a":[1e400,{"x":null}]}`))
	f.Add([]byte(`{"a":1}{`))
	f.Add([]byte(`{"a":1,"a":[{}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		once := canonical(body)
		if again := canonical(once); string(again) != string(once) {
			t.Errorf("%q gives %q and then %q", body, once, again)
		}
	})
}

// TestBodiesThatAreTheSame: the order of names makes no difference, and what one reader
// could take for something else than another does.
func TestBodiesThatAreTheSame(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		a, b string
		same bool
	}{
		{`{"a":1,"b":[{"c":2,"d":3}]}`, ` { "b" : [ {"d":3,"c":2} ] , "a" : 1 } `, true},
		{`{"a":"ü"}`, `{"a":"\u00fc"}`, true},
		{`{"a":1}`, `{"a":1.0}`, false},
		{`{"a":1}`, `{"a":null,"a":1}`, false},
		{`[[{"a":1}]]`, `[[{"a":2,"a":1}]]`, false},
		{`{"a":{"b":1}}`, `{"a":{"b":2},"a":{"b":1}}`, false},
		{`{"a":1}`, `{"a":2,"\u0061":1}`, false},
		{"{\"a\":\"\xff\"}", "{\"a\":\"\xfe\"}", false},
		{`{"a":"\ud800"}`, `{"a":"\ud801"}`, false},
		{`{"a":[]}`, `{"a":{}}`, false},
	} {
		if same := string(canonical([]byte(test.a))) == string(canonical([]byte(test.b))); same != test.same {
			t.Errorf("%q and %q: %v", test.a, test.b, same)
		}
	}
}
