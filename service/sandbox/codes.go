package sandbox

import "net/http"

// Which status a success has: 200 for GET and PUT, 201 for POST, 204 for DELETE
// and for what has no content. These differ in the vendor's document (1.73.0),
// and the contract does not carry it: to a caller of the broker they are one.
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

func successStatus(r *route) int {
	if c := otherCodes[r.op.GetId()]; c != 0 {
		return c
	}
	switch {
	case r.verb == verbDelete, r.method.Descriptor.Output().FullName() == "google.protobuf.Empty" && r.verb != verbGet:
		return http.StatusNoContent
	case r.verb == verbPost:
		return http.StatusCreated
	}
	return http.StatusOK
}
