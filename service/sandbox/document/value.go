package document

import (
	"strconv"
	"strings"
	"time"

	"github.com/merakibroker/merakibroker/service/sandbox/inventory"
)

// Epoch is the day before which everything made up has happened. It is constant,
// so that the same request has the same answer for ever.
const Epoch = 1782864000 // 2026-07-01T00:00:00Z

// words are values for fields by their name, taken from what the documentation
// knows for them. For another name the ending decides, and at last the name itself
// is the value.
var words = map[string][]string{
	"productType": {"wireless", "switch", "appliance", "camera", "sensor"}, "productTypes": {"wireless", "switch", "appliance"},
	"status": {"online", "active", "offline", "alerting", "dormant"}, "model": {"MR46", "MS120-8", "MX68", "MV12", "MT10"},
	"timeZone": {"America/Los_Angeles", "Europe/Berlin", "Asia/Tokyo"}, "tags": {"recently-added", "branch", "floor-2", "lab"},
	"firmware": {"wireless-29-6", "switch-15-21-1", "wired-18-1-7", "camera-4-18"}, "policy": {"allow", "deny"},
	"protocol": {"tcp", "udp", "icmp", "any"}, "method": {"GET", "POST", "PUT"}, "type": {"standard", "trunk", "access", "email"},
	"mode": {"enabled", "disabled", "routed"}, "duplex": {"full", "half", "auto"}, "speed": {"1 Gbps", "100 Mbps", "10 Gbps"},
	"band": {"2.4", "5", "6"}, "bandOperationMode": {"dual", "5ghz", "2.4ghz"}, "authMode": {"psk", "8021x-radius", "open"},
	"encryptionMode": {"wpa", "wep"}, "wpaEncryptionMode": {"WPA2 only", "WPA3 only"}, "manufacturer": {"Apple", "Samsung", "Intel"},
	"os": {"iOS", "Windows 11", "Debian"}, "country": {"US", "DE", "JP"}, "countryCode": {"US", "DE", "JP"}, "severity": {"low", "medium", "high"},
	"interface": {"wan1", "wan2", "cellular"}, "uplink": {"wan1", "wan2"}, "slot": {"sim1", "sim2"}, "quality": {"Standard", "High", "Enhanced"},
	"access": {"full", "read-only", "none"}, "orgAccess": {"full", "read-only"}, "releaseType": {"stable", "candidate", "beta"},
	"application": {"Web", "Video", "Mail"}, "destination": {"198.51.100.7", "example.org"}, "comment": {"Allow the branch", "Deny the rest"},
	"description": {"Set by the template", "The second floor", "A spare"}, "notes": {"In the cabinet", "Behind the door"},
	"address": {"1 Example Street, Springfield", "22 Sample Road, Shelbyville"}, "uuid": {"00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"},
	"shortName": {"29.6", "15.21.1", "18.1.7"}, "category": {"80211", "connectivity", "configuration"}, "scope": {"network", "organization"},
	"psk": {"not-a-secret"}, "passphrase": {"not-a-secret"}, "password": {"not-a-secret"}, "sharedSecret": {"not-a-secret"}, "secret": {"not-a-secret"},
	"expression": {"any"}, "host": {"192.0.2.10", "radius.example.org"}, "linkNegotiation": {"Auto negotiate"}, "allowedVlans": {"all", "1-100"},
	"errors": {"Port disabled", "SecPort violation"}, "warnings": {"Speed downshifted"}, "days": {"monday", "friday"}, "weekday": {"monday", "friday"},
	"settings": {"Use network default", "Custom"}, "channelWidth": {"auto", "20", "40"}, "licensingModel": {"co-term", "per-device"},
}

// endings are values by the last word of a name, the longest first.
var endings = []struct {
	ending string
	value  func(uint64) string
}{
	{"serials", serialValue}, {"serial", serialValue}, {"macs", macValue}, {"mac", macValue}, {"bssid", macValue}, {"email", emailValue}, {"emails", emailValue},
	{"url", urlValue}, {"uri", urlValue}, {"urls", urlValue}, {"subnetmask", constant("255.255.255.0")}, {"subnet", subnetValue}, {"cidr", subnetValue}, {"prefix", subnetValue},
	{"gateway", ipValue}, {"ipv4", ipValue}, {"ips", ipValue}, {"ip", ipValue}, {"servers", ipValue}, {"nameservers", ipValue}, {"netmask", constant("255.255.255.0")},
	{"ids", idValue}, {"id", idValue}, {"at", timeValue}, {"ts", timeValue}, {"date", timeValue}, {"port", portValue}, {"vlan", vlanValue}, {"vlans", vlanValue},
	{"timestamp", timeValue}, {"starttime", timeValue}, {"endtime", timeValue}, {"seen", timeValue}, {"username", emailValue}, {"time", constant("09:00")}, {"version", versionValue}, {"name", nameValue},
}

// valueOf chooses how values of a string field are made.
func valueOf(name string) func(uint64) string {
	if w, ok := words[name]; ok {
		return func(h uint64) string { return w[h%uint64(len(w))] }
	}
	if name == "number" || name == "portId" {
		return func(h uint64) string { return strconv.FormatUint(1+h%24, 10) }
	}
	lower := strings.ToLower(name)
	for _, e := range endings {
		if strings.HasSuffix(lower, e.ending) && boundary(name, len(e.ending)) {
			return e.value
		}
	}
	return func(h uint64) string { return name + " " + strconv.FormatUint(1+h%9, 10) }
}

// boundary says whether an ending of that length is a word of its own: the whole
// name, or begun by a capital letter ("clientId", not "paid").
func boundary(name string, n int) bool {
	i := len(name) - n
	return i == 0 || (name[i] >= 'A' && name[i] <= 'Z')
}

func constant(s string) func(uint64) string { return func(uint64) string { return s } }

func idValue(h uint64) string { return strconv.FormatUint(600000000000000000+h%1e17, 10) }

func serialValue(h uint64) string {
	b := []byte("Q2ZZ-AAAA-AAAA")
	for _, at := range [...]int{5, 6, 7, 8, 10, 11, 12, 13} {
		b[at] = inventory.SerialAlphabet[h&31]
		h >>= 5
	}
	return string(b)
}

// macValue is a locally administered address, which no vendor's device has.
func macValue(h uint64) string {
	const hex = "0123456789abcdef"
	b := []byte("02:00:00:00:00:00")
	for at := 3; at < len(b); at += 3 {
		b[at], b[at+1] = hex[h>>4&15], hex[h&15]
		h >>= 8
	}
	return string(b)
}

func emailValue(h uint64) string {
	return "person" + strconv.FormatUint(1+h%40, 10) + "@example.com"
}
func urlValue(h uint64) string {
	return "https://dashboard.example.com/o/" + strconv.FormatUint(h%1e6, 36) + "/manage"
}
func ipValue(h uint64) string {
	return "10." + strconv.FormatUint(h>>16&127, 10) + "." + strconv.FormatUint(h>>8&255, 10) + "." + strconv.FormatUint(1+h%254, 10)
}
func subnetValue(h uint64) string {
	return "10." + strconv.FormatUint(h>>16&127, 10) + "." + strconv.FormatUint(h>>8&255, 10) + ".0/24"
}
func portValue(h uint64) string    { return strconv.FormatUint(1024+h%60000, 10) }
func vlanValue(h uint64) string    { return strconv.FormatUint(1+h%400, 10) }
func versionValue(h uint64) string { return strconv.FormatUint(14+h%16, 10) + ".6" }
func nameValue(h uint64) string    { return "Name " + strconv.FormatUint(1+h%999, 10) }

func timeValue(h uint64) string { return string(appendTime(nil, h)) }

// appendTime writes an instant in the thirty days before the epoch.
func appendTime(dst []byte, h uint64) []byte {
	return time.Unix(Epoch-int64(h%(30*86400)), int64(h>>40%1000)*int64(time.Millisecond)).UTC().AppendFormat(dst, time.RFC3339Nano)
}

// integer makes a whole number that suits the field's name.
func integer(name string, h uint64) int64 {
	switch name {
	case "responseCode", "code":
		return 200
	case "port", "srcPort", "destPort":
		return int64(1024 + h%60000)
	case "vlan", "vlanId", "voiceVlan":
		return int64(1 + h%400)
	case "ssid", "ssidNumber":
		return int64(h % 15)
	case "id":
		return int64(1 + h%9000)
	case "firstSeen", "lastSeen", "ts", "timestamp", "startTime", "endTime":
		return Epoch - int64(h%(30*86400))
	case "sent", "recv", "received", "usage", "bytes":
		return int64(h % 5e9)
	}
	return int64(h % 100)
}

// number makes a number with a fraction that suits the field's name.
func number(name string, h uint64) float64 {
	switch name {
	case "lat":
		return float64(int64(h%180000)-90000) / 1000
	case "lng":
		return float64(int64(h%360000)-180000) / 1000
	case "firstSeen", "lastSeen":
		return float64(Epoch - int64(h%(30*86400)))
	}
	return float64(h%100000) / 1000
}
