// A tour of what a caller of the broker does, in C++ with Debian's gRPC.
//
// A typed read, a collection page by page, writes, one of which clears a field, a list
// that is watched, a failure with its reason, a deadline, and trying again when told to. It checks what
// it sees and exits with 1 when something is not as promised.
#include <chrono>
#include <iostream>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <google/protobuf/unknown_field_set.h>
#include <google/protobuf/util/message_differencer.h>
#include <grpcpp/grpcpp.h>

#include "meraki/broker/v1/watch.grpc.pb.h"
#include "meraki/devices/v1/devices_service.grpc.pb.h"
#include "meraki/insight/v1/insight_service.grpc.pb.h"
#include "meraki/organizations/v1/organizations_service.grpc.pb.h"
#include "meraki/switching/v1/switching_service.grpc.pb.h"
#include "meraki/wireless/v1/wireless_service.grpc.pb.h"

namespace broker = meraki::broker::v1;
namespace devices = meraki::devices::v1;
namespace insight = meraki::insight::v1;
namespace organizations = meraki::organizations::v1;
namespace switching = meraki::switching::v1;
namespace wireless = meraki::wireless::v1;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::UnknownField;
using google::protobuf::UnknownFieldSet;
using google::protobuf::util::MessageDifferencer;

namespace {

void expect(bool holds, const std::string& otherwise) {
  if (holds) return;
  std::cerr << "tour: " << otherwise << "\n";
  std::exit(1);
}

void expect(const grpc::Status& status) {
  expect(status.ok(), std::to_string(status.error_code()) + ": " + status.error_message());
}

// A call's context, with a deadline: it is how the broker knows what cannot make it.
struct Call : grpc::ClientContext {
  explicit Call(std::chrono::milliseconds most = std::chrono::seconds(30)) {
    set_deadline(std::chrono::system_clock::now() + most);
  }
  // Trailer is a plain one: they say the most important of the details.
  std::string Trailer(const char* name) const {
    const auto& all = GetServerTrailingMetadata();
    const auto found = all.find(name);
    return found == all.end() ? "" : std::string(found->second.data(), found->second.size());
  }
};

bool SameType(const FieldDescriptor* a, const FieldDescriptor* b) {
  if (a->is_map() && b->is_map()) {
    return SameType(a->message_type()->map_key(), b->message_type()->map_key()) &&
           SameType(a->message_type()->map_value(), b->message_type()->map_value());
  }
  return a->is_repeated() == b->is_repeated() && a->type() == b->type() && a->message_type() == b->message_type();
}

// CopyFields copies what two messages have in common, by name and type:
// additional_properties, too. On the wire they differ in their numbers alone.
void CopyFields(Message* to, const Message& from) {
  UnknownFieldSet read, written;
  expect(read.ParseFromString(from.SerializeAsString()), "a message does not read its own wire");
  for (int i = 0; i < read.field_count(); i++) {
    const UnknownField& record = read.field(i);
    const FieldDescriptor* field = from.GetDescriptor()->FindFieldByNumber(record.number());
    const FieldDescriptor* into = field ? to->GetDescriptor()->FindFieldByName(field->name()) : nullptr;
    if (!into || !SameType(field, into)) continue;
    switch (record.type()) {
      case UnknownField::TYPE_VARINT: written.AddVarint(into->number(), record.varint()); break;
      case UnknownField::TYPE_FIXED64: written.AddFixed64(into->number(), record.fixed64()); break;
      default: written.AddLengthDelimited(into->number(), record.length_delimited());
    }
  }
  std::string wire;
  expect(written.SerializeToString(&wire) && to->MergeFromString(wire), "a message does not read the fields of another");
}

// A typed RPC. The reply's headers say what it cost.
std::string Read(organizations::OrganizationsService::Stub* stub) {
  Call call;
  organizations::GetOrganizationsResponse reply;
  expect(stub->GetOrganizations(&call, {}, &reply));
  expect(reply.items_size() > 0 && !reply.items(0).id().empty(), "no organization came back");
  expect(call.GetServerInitialMetadata().count("meraki-queue-ms") == 1, "the headers do not say how long the call waited");
  std::cout << "read: " << reply.items_size() << " organizations\n";
  return reply.items(0).id();
}

// A collection page by page. The broker stops fetching when nobody reads.
void Pages(organizations::OrganizationsService::Stub* stub, const std::string& organization) {
  Call call;
  organizations::GetOrganizationDevicesRequest request;
  request.set_organization_id(organization);
  request.set_per_page(7);
  const auto stream = stub->StreamOrganizationDevices(&call, request);
  std::set<std::string> serials;
  organizations::GetOrganizationDevicesResponse page;
  int pages = 0;
  for (; stream->Read(&page); pages++) {
    for (const auto& device : page.items()) serials.insert(device.serial());
  }
  expect(stream->Finish());
  expect(pages == 3 && serials.size() == 20, "the sandbox's 20 devices are 3 pages of 7, not " + std::to_string(pages));
  std::cout << "pages: " << serials.size() << " devices in " << pages << " pages\n";
}

std::string FindSwitch(organizations::OrganizationsService::Stub* stub, const std::string& organization) {
  Call call;
  organizations::GetOrganizationDevicesRequest request;
  request.set_organization_id(organization);
  request.add_product_types("switch");
  organizations::GetOrganizationDevicesResponse reply;
  expect(stub->GetOrganizationDevices(&call, request, &reply));
  expect(reply.items_size() > 0, "the organization has no switch");
  return reply.items(0).serial();
}

// Sets a field of a port, and reads all ports.
void WritePort(switching::SwitchingService::Stub* stub, const std::string& serial) {
  Call listing, writing, reading;
  switching::GetDeviceSwitchPortsRequest all;
  all.set_serial(serial);
  switching::GetDeviceSwitchPortsResponse ports;
  expect(stub->GetDeviceSwitchPorts(&listing, all, &ports));
  expect(ports.items_size() > 0, "the switch has no ports");
  switching::UpdateDeviceSwitchPortRequest request;
  request.set_serial(serial);
  request.set_port_id(ports.items(0).port_id());
  request.set_name("uplink");
  switching::DeviceSwitchPort port;
  expect(stub->UpdateDeviceSwitchPort(&writing, request, &port));
  switching::GetDeviceSwitchPortRequest one;
  one.set_serial(serial);
  one.set_port_id(request.port_id());
  expect(stub->GetDeviceSwitchPort(&reading, one, &port));
  expect(port.name() == "uplink", "wrote the name of a port, got back " + port.ShortDebugString());
  std::cout << "port: " << port.port_id() << " of " << ports.items_size() << " is now \"" << port.name() << "\"\n";
}

// Makes something, and takes it away again.
void CreateAndDelete(insight::InsightService::Stub* stub, const std::string& organization) {
  Call creating, deleting, listing;
  insight::CreateOrganizationInsightMonitoredMediaServerRequest request;
  request.set_organization_id(organization);
  request.set_name("conference");
  request.set_address("192.0.2.7");
  insight::OrganizationInsightMonitoredMediaServer made;
  expect(stub->CreateOrganizationInsightMonitoredMediaServer(&creating, request, &made));
  expect(!made.id().empty() && made.name() == "conference", "made a media server, got back " + made.ShortDebugString());
  insight::DeleteOrganizationInsightMonitoredMediaServerRequest one;
  one.set_organization_id(organization);
  one.set_monitored_media_server_id(made.id());
  insight::DeleteOrganizationInsightMonitoredMediaServerResponse nothing;
  expect(stub->DeleteOrganizationInsightMonitoredMediaServer(&deleting, one, &nothing));
  insight::GetOrganizationInsightMonitoredMediaServersRequest all;
  all.set_organization_id(organization);
  insight::GetOrganizationInsightMonitoredMediaServersResponse left;
  expect(stub->GetOrganizationInsightMonitoredMediaServers(&listing, all, &left));
  for (const auto& server : left.items()) expect(server.id() != made.id(), "what was deleted is still there");
  std::cout << "create and delete: media server " << made.id() << "\n";
}

// Sets fields, then clears one: null_fields names what is sent as JSON null.
void Write(devices::DevicesService::Stub* stub, const std::string& serial) {
  Call setting, clearing;
  devices::UpdateDeviceRequest request;
  request.set_serial(serial);
  request.set_name("shelf 3");
  request.set_floor_plan_id("g_1234567");
  devices::Device reply;
  expect(stub->UpdateDevice(&setting, request, &reply));
  expect(reply.name() == "shelf 3" && reply.floor_plan_id() == "g_1234567", "wrote name and floor plan, got back " + reply.ShortDebugString());
  request.Clear();
  request.set_serial(serial);
  request.add_null_fields("floor_plan_id");
  expect(stub->UpdateDevice(&clearing, request, &reply));
  expect(!reply.has_floor_plan_id() && reply.name() == "shelf 3", "cleared the floor plan alone, got back " + reply.ShortDebugString());
  std::cout << "write: " << serial << " is now \"" << reply.name() << "\" and on no floor plan\n";
}

// Changes one field, and all else stays as it was, also what the vendor's document
// does not show in the request.
void ReadModifyWrite(wireless::WirelessService::Stub* stub, const std::string& network) {
  Call reading, writing, again;
  wireless::GetNetworkWirelessSsidRequest read;
  read.set_network_id(network);
  read.set_number("0");
  wireless::NetworkWirelessSsid before, written, after;
  expect(stub->GetNetworkWirelessSsid(&reading, read, &before));
  wireless::UpdateNetworkWirelessSsidRequest request;
  CopyFields(&request, before);
  request.set_network_id(network);
  request.set_number("0");
  request.set_name("lounge");
  expect(stub->UpdateNetworkWirelessSsid(&writing, request, &written));
  expect(stub->GetNetworkWirelessSsid(&again, read, &after));
  before.set_name("lounge");
  expect(MessageDifferencer::Equals(before, after), "wrote back " + before.ShortDebugString() + " and read " + after.ShortDebugString());
  std::cout << "read, modify, write: the SSID is now \"" << after.name() << "\", and all else as before\n";
}

// A list, whoever changes it: first all of it, then the rows that differ. However many
// watch, the Dashboard is read once.
void Watch(broker::WatchService::Stub* stub, devices::DevicesService::Stub* writer, const std::string& organization, const std::string& serial) {
  Call call, writing;
  organizations::GetOrganizationDevicesRequest list;
  list.set_organization_id(organization);
  broker::WatchRequest request;
  request.mutable_request()->PackFrom(list);
  request.mutable_age()->set_seconds(1);
  const auto stream = stub->Watch(&call, request);
  std::map<std::string, std::string> names;
  std::vector<int> sizes;
  for (broker::WatchResponse update; stream->Read(&update);) {
    organizations::GetOrganizationDevicesResponse changed, removed;
    update.changed().UnpackTo(&changed);
    update.removed().UnpackTo(&removed);
    if (update.whole()) names.clear();
    for (const auto& device : removed.items()) names.erase(device.serial());
    for (const auto& device : changed.items()) names[device.serial()] = device.name();
    sizes.push_back(changed.items_size());
    if (update.more()) continue;
    if (sizes.size() > 1) break;
    devices::UpdateDeviceRequest rename;
    rename.set_serial(serial);
    rename.set_name("shelf 5");
    devices::Device reply;
    expect(writer->UpdateDevice(&writing, rename, &reply));
  }
  call.TryCancel();
  stream->Finish();
  expect(sizes == std::vector<int>({20, 1}) && names.size() == 20 && names[serial] == "shelf 5", "20 devices and then the renamed one were meant, not " + std::to_string(names.size()));
  std::cout << "watch: " << names.size() << " devices, then the one that is now \"" << names[serial] << "\"\n";
}

void Failure(devices::DevicesService::Stub* stub) {
  Call call;
  devices::GetDeviceRequest request;
  request.set_serial("Q2XX-XXXX-XXXX");
  devices::Device reply;
  const grpc::Status status = stub->GetDevice(&call, request, &reply);
  expect(status.error_code() == grpc::StatusCode::NOT_FOUND && call.Trailer("meraki-reason") == "NOT_FOUND", "expected NOT_FOUND, got " + status.error_message());
  expect(call.Trailer("meraki-http-status") == "404", "the Dashboard's status is " + call.Trailer("meraki-http-status"));
  std::cout << "failure: " << call.Trailer("meraki-reason") << " with HTTP " << call.Trailer("meraki-http-status") << "\n";
}

void Deadline(devices::DevicesService::Stub* stub, const std::string& serial) {
  Call call(std::chrono::milliseconds(0));
  devices::GetDeviceRequest request;
  request.set_serial(serial);
  devices::Device reply;
  const auto code = stub->GetDevice(&call, request, &reply).error_code();
  // Or the broker sees it first: what cannot make its deadline is refused at once.
  expect(code == grpc::StatusCode::DEADLINE_EXCEEDED || code == grpc::StatusCode::RESOURCE_EXHAUSTED, "no time at all was enough");
  std::cout << "deadline: given up in time\n";
}

// Spends more than the budget allows at once, and comes back when told to.
void Retry(organizations::OrganizationsService::Stub* stub, const std::string& organization) {
  const auto page = [&](int i, std::chrono::milliseconds most, std::string* reason) {
    Call call(most);
    organizations::GetOrganizationDevicesRequest request;
    request.set_organization_id(organization);
    request.set_per_page(10 + i);  // each is another URL: identical reads at one moment are one request
    organizations::GetOrganizationDevicesResponse reply;
    const grpc::Status status = stub->GetOrganizationDevices(&call, request, &reply);
    *reason = status.ok() ? "" : call.Trailer("meraki-reason");
    return status.ok() ? 0 : std::atoi(call.Trailer("meraki-retry-delay-ms").c_str());
  };
  constexpr int many = 60;
  std::vector<std::string> reasons(many);
  std::vector<int> delays(many);
  std::vector<std::thread> threads;
  for (int i = 0; i < many; i++) {
    threads.emplace_back([&, i] { delays[i] = page(i, std::chrono::seconds(2), &reasons[i]); });
  }
  for (auto& thread : threads) thread.join();
  int refused = 0, delay = 0;
  for (int i = 0; i < many; i++) {
    if (reasons[i] != "BUDGET_EXHAUSTED") continue;
    expect(delays[i] > 0, "a refusal does not say when to come back");
    refused++;
    delay = delays[i];
  }
  expect(refused > 0, "none of " + std::to_string(many) + " calls in 2 s was refused");
  std::this_thread::sleep_for(std::chrono::milliseconds(delay));
  std::string reason;
  page(many, std::chrono::seconds(30), &reason);
  expect(reason.empty(), "again after " + std::to_string(delay) + " ms it failed: " + reason);
  std::cout << "retry as told: " << refused << " of " << many << " refused; again after " << delay << " ms, done\n";
}

}  // namespace

int main(int argc, char** argv) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(64 << 20);  // answers may have more than gRPC's usual 4 MiB
  const auto channel = grpc::CreateCustomChannel(argc > 1 ? argv[1] : "127.0.0.1:50051", grpc::InsecureChannelCredentials(), arguments);
  const auto organizations_stub = organizations::OrganizationsService::NewStub(channel);
  const auto devices_stub = devices::DevicesService::NewStub(channel);
  const auto insight_stub = insight::InsightService::NewStub(channel);
  const auto switching_stub = switching::SwitchingService::NewStub(channel);
  const auto wireless_stub = wireless::WirelessService::NewStub(channel);

  const std::string organization = Read(organizations_stub.get());
  Pages(organizations_stub.get(), organization);
  const std::string serial = FindSwitch(organizations_stub.get(), organization);
  WritePort(switching_stub.get(), serial);
  CreateAndDelete(insight_stub.get(), organization);
  Write(devices_stub.get(), serial);
  Call call;
  organizations::GetOrganizationNetworksRequest request;
  request.set_organization_id(organization);
  organizations::GetOrganizationNetworksResponse networks;
  expect(organizations_stub->GetOrganizationNetworks(&call, request, &networks));
  ReadModifyWrite(wireless_stub.get(), networks.items(0).id());
  Watch(broker::WatchService::NewStub(channel).get(), devices_stub.get(), organization, serial);
  Failure(devices_stub.get());
  Deadline(devices_stub.get(), serial);
  Retry(organizations_stub.get(), organization);
  std::cout << "everything is as promised\n";
}
