package owner

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"
)

// ownerRevealing are the operations whose answers name owners, and the only ones that
// are read for it. The value tells what an object's own id is: a network's, or
// nothing of interest.
var ownerRevealing = map[string]bool{
	"getNetwork": true, "updateNetwork": true, "bindNetwork": true, "unbindNetwork": true, "splitNetwork": true,
	"getOrganizationNetworks": true, "createOrganizationNetwork": true, "combineOrganizationNetworks": true,
	// A template's id stands where a network's does.
	"getOrganizationConfigTemplates": true, "getOrganizationConfigTemplate": true, "createOrganizationConfigTemplate": true,
	"getDevice": false, "updateDevice": false, "getNetworkDevices": false,
	"getOrganizationDevices": false, "getOrganizationDevicesStatuses": false, "getOrganizationDevicesAvailabilities": false,
	"getOrganizationInventoryDevices": false, "getOrganizationInventoryDevice": false,
}

// ownerChanging are the operations after which an owner may be another one. What
// their path and their body name is forgotten.
var ownerChanging = map[string]bool{
	"createNetworkMove": true, "deleteNetwork": true, "combineOrganizationNetworks": true, "splitNetwork": true,
	"claimNetworkDevices": true, "vmxNetworkDevicesClaim": true, "removeNetworkDevices": true,
	"claimIntoOrganization": true, "claimIntoOrganizationInventory": true, "releaseFromOrganizationInventory": true,
	"createOrganizationInventoryDevicesSwapsBulk": true,
}

// A scan is what an owner-revealing operation's answer has said so far.
type scan struct {
	owners              *Directory
	now                 time.Time
	ids                 bool // an object's own id may be a network's
	organization, named string
	facts               []Fact
}

// Facts reads what an owner-revealing operation's answer says about owners, as far
// as it is not known: most pages say what the last one like them has said.
// Organization is the one below which the call's path stands, and empty for every
// other path: neither a hint nor an older belief is a statement about an owner.
func (o *Directory) Facts(now time.Time, operation string, body []byte, organization string) []Fact {
	ids, ok := ownerRevealing[operation]
	if !ok {
		return nil
	}
	organization = strings.Clone(organization)                                                // not a part of some URL
	r := scan{owners: o, now: now, ids: ids, organization: organization, named: organization} // rows mostly name one, and share its text
	r.walk(body)
	return r.facts
}

// object takes what one object says. A row that names no organization is of the one
// that the path names. Where the path names none, a row tells which network a device
// is in, and of no network whose it is.
func (r *scan) object(o *object) {
	network, organization := o.network, r.organization
	if r.ids && len(o.serial) == 0 && o.networkLike {
		network = o.id
	}
	if len(o.organization) > 0 {
		if string(o.organization) != r.named {
			r.named = string(o.organization)
		}
		organization = r.named
	}
	if len(o.serial) == 0 && (len(network) == 0 || organization == "") || r.owners.know(r.now, o.serial, network, organization) {
		return
	}
	r.facts = append(r.facts, Fact{Serial: string(o.serial), Network: string(network), Organization: organization})
}

// An object is what the walk keeps of a JSON object: the values of a few of its
// own keys.
type object struct {
	id, serial, network, organization []byte
	// networkLike tells that it has productTypes or organizationId, as networks
	// and templates do and the objects inside them do not.
	networkLike bool
	key         []byte // under which it stands in the object around it
}

// walkDepth is how many objects deep the walk looks; what is deeper is passed over.
const walkDepth = 8

// walk takes every object of a document, inner ones first. It reads
// only as much of JSON as it has to: what is not JSON gives nothing, or nonsense
// that is no worse than a wrong answer. It keeps no memory but a small stack.
func (r *scan) walk(doc []byte) {
	var (
		stack [walkDepth]object
		depth int
		key   []byte
	)
	for i := 0; i < len(doc); {
		switch doc[i] {
		case '{':
			if depth < walkDepth {
				stack[depth] = object{key: key}
			}
			depth++
			key = nil
			i++
		case '}':
			if depth--; depth < 0 {
				return
			}
			i++
			if depth >= walkDepth {
				continue
			}
			o := &stack[depth]
			if depth > 0 {
				switch string(o.key) {
				case "network":
					stack[depth-1].network = o.id
				case "organization":
					stack[depth-1].organization = o.id
				}
			}
			r.object(o)
		case ',':
			key = nil
			i++
		case '"':
			text, next := quoted(doc, i)
			if next < 0 {
				return
			}
			i = space(doc, next)
			if i < len(doc) && doc[i] == ':' {
				key = text
				i++
				if depth > 0 && depth <= walkDepth && (string(key) == "productTypes" || string(key) == "organizationId") {
					stack[depth-1].networkLike = true
				}
				continue
			}
			if depth == 0 || depth > walkDepth || len(text) == 0 || len(text) > 64 {
				continue
			}
			switch o := &stack[depth-1]; string(key) {
			case "id":
				o.id = text
			case "serial":
				o.serial = text
			case "networkId":
				o.network = text
			case "organizationId":
				o.organization = text
			}
		default:
			i++
		}
	}
}

// quoted gives the text of the string that starts at i, escapes left as they
// are, and the index after it; -1 when it does not end.
func quoted(doc []byte, i int) ([]byte, int) {
	for j := i + 1; ; {
		k := bytes.IndexByte(doc[j:], '"')
		if k < 0 {
			return nil, -1
		}
		j += k
		slashes := 0
		for doc[j-1-slashes] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			return doc[i+1 : j], j + 1
		}
		j++
	}
}

func space(doc []byte, i int) int {
	for i < len(doc) && (doc[i] == ' ' || doc[i] == '\n' || doc[i] == '\t' || doc[i] == '\r') {
		i++
	}
	return i
}

// Changed forgets what an operation puts in doubt, if it is one after which an
// owner may be another one: what its path and its body name. It may be executed
// later than it is answered, so what is learned of these ids in the time after it is
// believed only as long as a miss.
func (o *Directory) Changed(now time.Time, operation, id string, body []byte) {
	var ids []string
	switch {
	case operation == createBatch:
		ids = namedInBatch(body)
	case ownerChanging[operation]:
		ids = namedIn(id, body)
	}
	for _, id := range ids {
		if id != "" {
			o.forget(now, id, true)
			o.unsettle(now, id)
		}
	}
}

// createBatch makes other operations, of which some may change owners.
const createBatch = "createOrganizationActionBatch"

// changesOwners are the last segments of resources, and the operations of actions,
// after which an owner may be another one.
var changesOwners = map[string]bool{
	"claim": true, "vmx": true, "remove": true, "release": true, "moves": true, "move": true,
	"combine": true, "split": true, "swaps": true, "bulk": true,
}

// namedInBatch lists the ids that the owner-changing actions of a batch name.
func namedInBatch(body []byte) (ids []string) {
	var b struct {
		Actions []struct {
			Resource, Operation string
			Body                json.RawMessage
		}
	}
	if json.Unmarshal(body, &b) != nil {
		return nil
	}
	for _, a := range b.Actions {
		part := strings.Split(strings.Trim(a.Resource, "/"), "/")
		// The operation of an action names what it does, too: claim, remove, combine.
		changes := len(part) == 2 && part[0] == "networks" && (a.Operation == "destroy" || a.Operation == "delete")
		for _, does := range [...]string{part[len(part)-1], a.Operation} {
			changes = changes || changesOwners[does]
		}
		if !changes {
			continue
		}
		id := ""
		if len(part) > 1 && part[0] != "organizations" {
			id = part[1]
		}
		ids = append(ids, namedIn(id, a.Body)...)
	}
	return ids
}

// namedIn lists the ids that an owner-changing call names: of its path, and of the
// serial, serials, networkId and networkIds of its body.
func namedIn(id string, body []byte) []string {
	ids := []string{id}
	var b struct {
		Serial     string
		Serials    []string
		NetworkID  string `json:"networkId"`
		NetworkIDs []string
		Networks   []struct{ ID string }
		Devices    []struct{ Serial string }
	}
	if len(body) == 0 || json.Unmarshal(body, &b) != nil {
		return ids
	}
	ids = append(append(append(ids, b.Serial, b.NetworkID), b.Serials...), b.NetworkIDs...)
	for _, n := range b.Networks {
		ids = append(ids, n.ID)
	}
	for _, d := range b.Devices {
		ids = append(ids, d.Serial)
	}
	return ids
}
