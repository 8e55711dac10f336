package identity

import "testing"

// TestSectionsInTheVendorsSpelling: rules name sections as the vendor does.
func TestSectionsInTheVendorsSpelling(t *testing.T) {
	t.Parallel()
	for vendor, contract := range map[string]string{
		"switch": "switching", "switching": "switching", "cellularGateway": "cellular_gateway", "cellular_gateway": "cellular_gateway", "sm": "sm",
	} {
		if got := snake(vendor); got != contract {
			t.Errorf("%s is %s, want %s", vendor, got, contract)
		}
	}
}
