package access

import "testing"

func TestAParameterThatChangesTheMethod(t *testing.T) {
	t.Parallel()
	for query, refused := range map[string]bool{
		"": false, "method=GET": false, "perPage=3&method=GET": false, "x=_method": false,
		"_method=DELETE": true, "a=b&_Method=PUT": true, "%5fmethod=PUT": true, "%255fmethod=PUT": true, "_method[]=PUT": true,
		"a=1;_method=PUT": true, "a;%5Fmethod=PUT": true, "a=b;method=PUT": false,
	} {
		if f := unambiguous(Question{Query: query}); f != nil != refused {
			t.Errorf("%q: %v", query, f)
		}
	}
}
