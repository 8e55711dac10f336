package sandbox

import (
	"net/http"
	"strings"
	"sync"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/service/sandbox/document"
)

// An answerForm is what a route answers. It is read from the response descriptor
// when the first request arrives: the contract has nearly a thousand routes.
type answerForm struct {
	shape *document.Shape // of the response; nil: no content
	doc   *document.Field // the field that is the whole document; nil: the object is
	rows  *document.Field // the collection in the answer; nil: a single resource
	row   *document.Shape // of one row; nil when rows are not objects
	kind  rowKind
	// key is the property that identifies a row, or the resource itself.
	key     string
	subject document.Subject // whom a row, or the resource, speaks of
	// item is the node of one row's own path, where the collection has one.
	item   *node
	param  string // the name of the parameter of item
	status int    // on success
	style  apiv1.PagingStyle
	most   int // rows a page
	usual  int
}

type lazyForm struct {
	once sync.Once
	form answerForm
}

// rowKind is where the rows of a collection come from.
type rowKind uint8

const (
	rowsMade rowKind = iota
	rowsOrganizations
	rowsNetworks
	rowsDevices
	rowsInventory
	rowsNone // only what was written
)

func (s *Sandbox) form(r *route) *answerForm {
	r.form.once.Do(func() { r.form.form = s.describe(r) })
	return &r.form.form
}

func (s *Sandbox) describe(r *route) answerForm {
	var d answerForm
	if r.node.param != nil {
		d.item = r.node.param
		d.param = lastParam(d.item)
	}
	// An answer without content is a message without fields, or with none that
	// stand on the wire.
	if sh := s.shapes.Of(r.method.Descriptor.Output()); !sh.Empty() || r.op.GetResponseField() != "" {
		d.shape = sh
	}
	d.status = successStatus(r, d.shape == nil)
	if d.shape == nil {
		return d
	}
	out := r.method.Descriptor.Output()
	paging := r.op.GetPaging()
	d.style, d.most, d.usual = paging.GetStyle(), int(paging.GetPerPageMax()), int(paging.GetPerPageDefault())
	if f := r.op.GetResponseField(); f != "" {
		d.doc = s.shapes.Root(out, f)
	}
	switch {
	case d.doc != nil && d.doc.Repeated:
		d.rows = d.doc
	case d.doc == nil && d.shape.Find("items") != nil && d.shape.Find("items").Repeated:
		d.rows = d.shape.Find("items")
	case d.doc == nil && paging != nil:
		for i := range d.shape.Fields {
			if f := &d.shape.Fields[i]; f.Repeated && f.Kind == document.KindObject {
				d.rows = f
				break
			}
		}
	}
	own := d.shape
	if d.rows != nil {
		d.row, own = d.rows.Sub, d.rows.Sub
	}
	d.identify(r, own)
	return d
}

// identify finds the property that tells one row from another, and where the
// rows come from.
func (d *answerForm) identify(r *route, own *document.Shape) {
	id := r.op.GetId()
	switch id {
	case "getOrganizations":
		d.kind, d.key, d.subject = rowsOrganizations, "id", document.SubjectOrganization
		return
	case "getOrganization", "updateOrganization", "createOrganization", "cloneOrganization":
		d.key, d.subject = "id", document.SubjectOrganization
		return
	case "getOrganizationNetworks":
		d.kind, d.key, d.subject = rowsNetworks, "id", document.SubjectNetwork
		return
	case "getNetwork", "updateNetwork", "createOrganizationNetwork", "bindNetwork", "unbindNetwork":
		d.key, d.subject = "id", document.SubjectNetwork
		return
	case "getOrganizationDevices", "getNetworkDevices":
		d.kind, d.key, d.subject = rowsDevices, "serial", document.SubjectDevice
		return
	case "getOrganizationInventoryDevices":
		d.kind, d.key, d.subject = rowsInventory, "serial", document.SubjectDevice
		return
	case "getDevice", "updateDevice", "getOrganizationInventoryDevice":
		d.key, d.subject = "serial", document.SubjectDevice
		return
	case "getOrganizationActionBatches", "getNetworkMoves":
		d.kind = rowsNone
	}
	param := d.param
	if d.rows == nil && d.item == nil && len(r.params) > 1 && strings.HasSuffix(r.op.GetPath(), "}") {
		param = r.params[len(r.params)-1]
	}
	d.key = own.Identifier(param)
	if d.rows == nil || d.kind == rowsNone || own == nil {
		return
	}
	scope := r.op.GetScope()
	switch {
	case d.key == "serial" && (scope == apiv1.Scope_SCOPE_ORGANIZATION || scope == apiv1.Scope_SCOPE_NETWORK):
		d.kind, d.subject = rowsDevices, document.SubjectDevice
	case d.key == "networkId" && scope == apiv1.Scope_SCOPE_ORGANIZATION:
		d.kind = rowsNetworks
	}
}

// lastParam is the name of the parameter that a node stands for.
func lastParam(n *node) string {
	for _, r := range n.route {
		if r != nil {
			return r.params[len(r.params)-1]
		}
	}
	return ""
}

// otherCodes are the statuses of successes that differ from the rule: 200 for GET
// and PUT, 201 for POST, 204 for DELETE and for what has no content. They come
// from the vendor's document (1.73.0). The contract does not carry them, because a
// caller of the broker sees no difference.
var otherCodes = map[string]int{
	"generateAdministeredIdentitiesMeApiKeys": 202, "revokeAdministeredIdentitiesMeApiKeys": 202, "blinkDeviceLeds": 202, "clipDeviceCamera": 202,
	"generateDeviceCameraSnapshot": 202, "rebootDevice": 202, "provisionOrganizationCampusGatewayClusters": 202, "batchOrganizationSaseConnectorsDelete": 202,
	"attachOrganizationSaseSites": 202, "detachOrganizationSaseSites": 202, "createOrganizationWirelessDevicesRadsecCertificatesAuthority": 202,
	"createOrganizationInventoryDevicesSwapsBulk": 207,
	"updateDeviceSwitchRoutingStaticRoute":        201, "updateNetworkWirelessZigbee": 201, "updateOrganizationWirelessMqttSettings": 201,
	"updateOrganizationWirelessZigbeeDevice": 201, "updateOrganizationWirelessZigbeeDoorLock": 201,

	"claimAdministeredLicensingSubscriptionSubscriptions": 200, "validateAdministeredLicensingSubscriptionSubscriptionsClaimKey": 200,
	"bindAdministeredLicensingSubscriptionSubscription": 200, "createDeviceApplianceInterfacesPortsUpdate": 200, "createDeviceCellularUplinksBandsMasksUpdate": 200,
	"cycleDeviceSwitchPorts": 200, "createDeviceSwitchRoutingStaticRoute": 200, "createNetworkApplianceDevicesRedundancySwap": 200,
	"connectNetworkApplianceUmbrellaAccount": 200, "addNetworkApplianceUmbrellaPolicies": 200, "swapNetworkApplianceWarmSpare": 200, "bindNetwork": 200,
	"createNetworkCameraWirelessProfile": 200, "claimNetworkDevices": 200, "vmxNetworkDevicesClaim": 200, "createNetworkFirmwareUpgradesRollback": 200,
	"createNetworkFirmwareUpgradesStagedEvent": 200, "deferNetworkFirmwareUpgradesStagedEvents": 200, "rollbacksNetworkFirmwareUpgradesStagedEvents": 200,
	"createNetworkFirmwareUpgradesStagedGroup": 200, "batchNetworkFloorPlansAutoLocateJobs": 200, "publishNetworkFloorPlansAutoLocateJob": 200,
	"recalculateNetworkFloorPlansAutoLocateJob": 200, "batchNetworkFloorPlansDevicesUpdate": 200, "createNetworkSensorAlertsProfile": 200,
	"checkinNetworkSmDevices": 200, "lockNetworkSmDevices": 200, "modifyNetworkSmDevicesTags": 200, "moveNetworkSmDevices": 200, "rebootNetworkSmDevices": 200,
	"shutdownNetworkSmDevices": 200, "wipeNetworkSmDevices": 200, "installNetworkSmDeviceApps": 200, "refreshNetworkSmDeviceDetails": 200,
	"unenrollNetworkSmDevice": 200, "uninstallNetworkSmDeviceApps": 200, "splitNetwork": 200, "createNetworkSwitchStack": 200, "addNetworkSwitchStack": 200,
	"removeNetworkSwitchStack": 200, "unbindNetwork": 200, "createNetworkVlanProfile": 200, "reassignNetworkVlanProfilesAssignments": 200,
	"setNetworkWirelessEthernetPortsProfilesDefault": 200, "createOrganizationAdaptivePolicyAcl": 200, "bulkOrganizationApplianceDnsLocalProfilesAssignmentsCreate": 200,
	"createOrganizationApplianceDnsLocalProfilesAssignmentsBulkDelete": 200, "createOrganizationApplianceDnsSplitProfilesAssignmentsBulkCreate": 200,
	"createOrganizationApplianceDnsSplitProfilesAssignmentsBulkDelete": 200, "createOrganizationCellularGatewayEsimsServiceProvidersAccount": 200,
	"createOrganizationCellularGatewayEsimsSwap": 200, "claimIntoOrganization": 200, "createOrganizationDevicesCellularDataProfile": 200,
	"batchOrganizationDevicesCellularDataProfilesAssignmentsCreate": 200, "bulkUpdateOrganizationDevicesDetails": 200,
	"generateOrganizationDevicesPacketCaptureCaptureDownloadUrl": 200, "reorderOrganizationDevicesPacketCaptureSchedules": 200,
	"createOrganizationEarlyAccessFeaturesOptIn": 200, "disableOrganizationIntegrationsXdrNetworks": 200, "enableOrganizationIntegrationsXdrNetworks": 200,
	"claimIntoOrganizationInventory": 200, "claimOrganizationInventoryOrders": 200, "previewOrganizationInventoryOrders": 200, "releaseFromOrganizationInventory": 200,
	"assignOrganizationLicensesSeats": 200, "moveOrganizationLicenses": 200, "moveOrganizationLicensesSeats": 200, "renewOrganizationLicensesSeats": 200,
	"moveOrganizationLicensingCotermLicenses": 200, "combineOrganizationNetworks": 200, "bulkOrganizationNetworksGroupAssign": 200,
	"assignOrganizationPoliciesGlobalGroupPoliciesAdaptivePolicyGroups": 200, "removeOrganizationPoliciesGlobalGroupPoliciesAdaptivePolicyGroups": 200,
	"assignOrganizationPoliciesGlobalGroupPoliciesApplianceVlans": 200, "removeOrganizationPoliciesGlobalGroupPoliciesApplianceVlans": 200,
	"removeOrganizationSpacesIntegration": 200, "cloneOrganizationSwitchDevices": 200, "recalculateOrganizationWirelessRadioAutoRfChannels": 200,
	"createOrganizationWirelessSsidsProfile": 200,
}

// successStatus is the status of a success; nothing says that the answer has no content.
func successStatus(r *route, nothing bool) int {
	if c := otherCodes[r.op.GetId()]; c != 0 {
		return c
	}
	switch {
	case r.verb == verbDelete, nothing && r.verb != verbGet:
		return http.StatusNoContent
	case r.verb == verbPost:
		return http.StatusCreated
	}
	return http.StatusOK
}
