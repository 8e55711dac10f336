//! A small client of the broker with tonic: a typed read, the pages of a list, a
//! write to a switch port, and a failure with its reason.
use meraki::organizations::v1::organizations_service_client::OrganizationsServiceClient;
use meraki::organizations::v1::{GetOrganizationDevicesRequest, GetOrganizationsRequest};
use meraki::switching::v1::switching_service_client::SwitchingServiceClient;
use meraki::switching::v1::{GetDeviceSwitchPortRequest, GetDeviceSwitchPortsRequest, UpdateDeviceSwitchPortRequest};
use tonic::{Code, transport::Endpoint};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:50051".into());
    let channel = Endpoint::from_shared(format!("http://{address}"))?.connect().await?;
    let mut organizations = OrganizationsServiceClient::new(channel.clone());
    let mut switching = SwitchingServiceClient::new(channel);

    let all = organizations.get_organizations(GetOrganizationsRequest::default()).await?.into_inner();
    let organization_id = all.items[0].id.clone();
    println!("read: {} organizations", all.items.len());

    let request = GetOrganizationDevicesRequest { organization_id, per_page: Some(7), ..Default::default() };
    let mut stream = organizations.stream_organization_devices(request.clone()).await?.into_inner();
    let (mut pages, mut serial) = (0, None);
    while let Some(page) = stream.message().await? {
        pages += 1;
        serial = serial.or(page.items.into_iter().find(|d| d.product_type() == "switch").and_then(|d| d.serial));
    }
    assert_eq!(pages, 3, "the sandbox's 20 devices are 3 pages of 7");
    println!("pages: {pages}");

    let ports = switching.get_device_switch_ports(GetDeviceSwitchPortsRequest { serial: serial.clone() }).await?.into_inner();
    let port_id = ports.items[0].port_id.clone();
    let update = UpdateDeviceSwitchPortRequest { serial: serial.clone(), port_id: port_id.clone(), name: Some("uplink".into()), ..Default::default() };
    switching.update_device_switch_port(update).await?;
    let port = switching.get_device_switch_port(GetDeviceSwitchPortRequest { serial, port_id }).await?.into_inner();
    assert_eq!(port.name(), "uplink");
    // A field whose name is a keyword of Rust's.
    println!("write: port {} of type {:?} is now \"{}\"", port.port_id(), port.r#type, port.name());

    let missing = GetDeviceSwitchPortsRequest { serial: Some("Q2XX-XXXX-XXXX".into()) };
    let failure = switching.get_device_switch_ports(missing).await.expect_err("a device that is not there was found");
    assert_eq!(failure.code(), Code::NotFound);
    assert_eq!(failure.metadata().get("meraki-reason").and_then(|v| v.to_str().ok()), Some("NOT_FOUND"));
    println!("failure: NOT_FOUND");
    println!("everything is as promised");
    Ok(())
}
