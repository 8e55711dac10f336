package contract

import "testing"

// TestLoad counts what the binary carries: the document of version 1.73.0 has
// 992 operations, of which 165 are paginated and 18 start a job.
func TestLoad(t *testing.T) {
	t.Parallel()
	c, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	unary, twins, jobs := 0, 0, 0
	for _, m := range c.Methods() {
		switch {
		case m.Runs:
			jobs++
		case m.Streaming:
			twins++
		default:
			unary++
		}
		if c.RPC(m.Name) != m {
			t.Errorf("%s is not found by its name", m.Name)
		}
	}
	if unary != 992 || twins != 165 || jobs != 18 {
		t.Fatalf("%d operations, %d twins that send pages and %d that run jobs, want 992, 165 and 18", unary, twins, jobs)
	}
	if m := c.Operation("getOrganizationDevices"); m == nil || m.Name != "/meraki.organizations.v1.OrganizationsService/GetOrganizationDevices" {
		t.Fatalf("getOrganizationDevices is %v", m)
	}
}

// TestRequest finds every unary RPC by its request message, and no RPC by another one.
func TestRequest(t *testing.T) {
	t.Parallel()
	c, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range c.Methods() {
		name := string(m.Descriptor.Input().FullName())
		is := c.Request("type.googleapis.com/" + name)
		if is == nil || is.Streaming || is.Operation.GetId() != m.Operation.GetId() || c.Request(name) != is {
			t.Errorf("%s, the request of %s, is found as that of %v", name, m.Name, is)
		}
	}
	for _, name := range []string{"", "/", "GetNetworkRequest", "meraki.networks.v1.GetNetworkResponse", "meraki.broker.v1.CallRequest"} {
		if m := c.Request(name); m != nil {
			t.Errorf("%q is found as %s", name, m.Name)
		}
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
