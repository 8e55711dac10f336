package contract

import "testing"

// TestLoad counts what the binary carries: the document of version 1.73.0 has
// 992 operations, 165 of them paginated.
func TestLoad(t *testing.T) {
	t.Parallel()
	c, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	unary, twins := 0, 0
	for _, m := range c.Methods() {
		if m.Streaming {
			twins++
		} else {
			unary++
		}
		if c.RPC(m.Name) != m {
			t.Errorf("%s is not found by its name", m.Name)
		}
	}
	if unary != 992 || twins != 165 {
		t.Fatalf("%d operations and %d streaming twins, want 992 and 165", unary, twins)
	}
	if m := c.Operation("getOrganizationDevices"); m == nil || m.Name != "/meraki.organizations.v1.OrganizationsService/GetOrganizationDevices" {
		t.Fatalf("getOrganizationDevices is %v", m)
	}
}

func BenchmarkLoad(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Load(); err != nil {
			b.Fatal(err)
		}
	}
}
