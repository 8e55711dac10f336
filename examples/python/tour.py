"""A tour of what a caller of the broker does, in Python.

A typed read, a collection page by page, a write that clears a field, many writes
as few requests, a list that is watched, a job from its start to its end, a failure
with its details, a deadline, and trying again when told to. It checks what it sees
and exits with 1 when something is not as promised:

    go run ./cmd/merakid -sandbox &
    pip install 'dist/merakibroker-1.73.0-py3-none-any.whl[errors]'
    python examples/python/tour.py 127.0.0.1:50051
"""

from __future__ import annotations

import dataclasses
import sys
import time
from concurrent import futures

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from google.protobuf.any_pb2 import Any
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from merakibroker import broker, devices, organizations, wireless


@dataclasses.dataclass
class Failure:
    """What a failed call tells, taken out of its details."""

    code: grpc.StatusCode
    reason: str = ""
    retry_after: float = 0.0  # seconds; 0 when trying again makes no sense
    dashboard: broker.DashboardError | None = None


def failure_of(error: grpc.RpcError) -> Failure:
    failure = Failure(error.code())
    status = rpc_status.from_call(error) if isinstance(error, grpc.Call) else None
    details: list[Any] = list(status.details) if status else []
    for detail in details:
        info, retry, dashboard = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo(), broker.DashboardError()
        if detail.Unpack(info):
            failure.reason = info.reason
        elif detail.Unpack(retry):
            failure.retry_after = retry.retry_delay.ToTimedelta().total_seconds()
        elif detail.Unpack(dashboard):
            failure.dashboard = dashboard
    return failure


def expect(holds: bool, otherwise: str) -> None:
    if not holds:
        sys.exit(f"tour: {otherwise}")


def read(stub: organizations.OrganizationsServiceStub) -> str:
    """A typed RPC. The reply's headers say what it cost."""
    reply, call = stub.GetOrganizations.with_call(organizations.GetOrganizationsRequest(), timeout=30)
    headers = dict(call.initial_metadata())
    expect(len(reply.items) > 0 and reply.items[0].id != "", "no organization came back")
    print(f"read: {len(reply.items)} organizations, waited {headers['meraki-queue-ms']!s} ms for a slot")
    return reply.items[0].id


def pages(stub: organizations.OrganizationsServiceStub, organization: str) -> list[str]:
    """A collection page by page. The broker stops fetching when nobody reads."""
    request = organizations.GetOrganizationDevicesRequest(organization_id=organization, per_page=7)
    sizes: list[int] = []
    serials: set[str] = set()
    for page in stub.StreamOrganizationDevices(request, timeout=30):
        sizes.append(len(page.items))
        serials.update(d.serial for d in page.items)
    expect(sizes == [7, 7, 6] and len(serials) == 20, f"the sandbox's 20 devices are 3 pages of 7; got pages of {sizes}")
    print(f"pages: {len(serials)} devices in {len(sizes)} pages")
    return sorted(serials)


def write(stub: devices.DevicesServiceStub, serial: str) -> None:
    """Sets fields, then clears one: null_fields names what is sent as JSON null."""
    reply = stub.UpdateDevice(
        devices.UpdateDeviceRequest(serial=serial, name="shelf 3", floor_plan_id="g_1234567"), timeout=30
    )
    expect(reply.name == "shelf 3" and reply.floor_plan_id == "g_1234567", f"wrote name and floor plan, got back {reply!r}")
    reply = stub.UpdateDevice(
        devices.UpdateDeviceRequest(serial=serial, null_fields=["floor_plan_id"]), timeout=30
    )
    expect(not reply.HasField("floor_plan_id") and reply.name == "shelf 3", f"cleared the floor plan alone, got back {reply!r}")
    print(f'write: {serial} is now "{reply.name}" and on no floor plan')


def type_of(field: FieldDescriptor) -> tuple[object, ...]:
    """The type of a field. A map's is that of its keys and values: the messages of its entries differ."""
    message = field.message_type
    if message is not None and message.GetOptions().map_entry:
        return ("map", *(part for name in ("key", "value") for part in type_of(message.fields_by_name[name])))
    return (field.is_repeated, field.type, message.full_name if message is not None else "")


def copy_fields(to: Message, source: Message) -> None:
    """Copies what two messages have in common, by name and type: additional_properties, too."""
    for field, value in source.ListFields():
        into = to.DESCRIPTOR.fields_by_name.get(field.name)
        if into is None or type_of(into) != type_of(field):
            continue
        if field.is_repeated or field.message_type is not None:
            getattr(to, field.name).MergeFrom(value)
        else:
            setattr(to, field.name, value)


def read_modify_write(stub: wireless.WirelessServiceStub, network: str) -> None:
    """Changes one field, and all else stays as it was, also what the vendor's document does not show in the request."""
    read = wireless.GetNetworkWirelessSsidRequest(network_id=network, number="0")
    before = stub.GetNetworkWirelessSsid(read, timeout=30)
    request = wireless.UpdateNetworkWirelessSsidRequest()
    copy_fields(request, before)
    request.network_id, request.number, request.name = network, "0", "lounge"
    stub.UpdateNetworkWirelessSsid(request, timeout=30)
    after = stub.GetNetworkWirelessSsid(read, timeout=30)
    before.name = "lounge"
    expect(before == after, f"wrote back {before!r} and read {after!r}")
    print(f'read, modify, write: the SSID is now "{after.name}", and all else as before')


def many(stub: broker.BatchServiceStub, serials: list[str]) -> None:
    """Writes as few requests. Each has an outcome of its own: here one of three is about a device that is not there."""
    nowhere = "Q2XX-XXXX-XXXX"
    writes: list[broker.Write] = []
    for serial in [*serials, nowhere]:
        request = Any()
        request.Pack(devices.UpdateDeviceRequest(serial=serial, name="shelf 4"))
        writes.append(broker.Write(id=serial, request=request))
    outcomes = {o.id: o for o in stub.ApplyWrites(broker.ApplyWritesRequest(writes=writes), timeout=30)}
    batches = {outcomes[serial].done.action_batch_id for serial in serials}
    expect(len(batches) == 1 and "" not in batches, f"two writes in one action batch were meant, not {outcomes}")
    expect(outcomes[nowhere].failed.code == grpc.StatusCode.NOT_FOUND.value[0], f"expected NOT_FOUND, got {outcomes[nowhere]}")
    print(f"many writes: {len(serials)} done in action batch {batches.pop()}, 1 failed by itself")


def watch(stub: broker.WatchServiceStub, writer: devices.DevicesServiceStub, organization: str, serial: str) -> None:
    """A list, whoever changes it: first all of it, then the rows that differ. However many watch, the Dashboard is read once."""
    request = Any()
    request.Pack(organizations.GetOrganizationDevicesRequest(organization_id=organization))
    updates = stub.Watch(broker.WatchRequest(request=request, age=Duration(seconds=1)), timeout=30)
    names: dict[str, str] = {}
    sizes: list[int] = []
    for update in updates:
        changed, removed = organizations.GetOrganizationDevicesResponse(), organizations.GetOrganizationDevicesResponse()
        update.changed.Unpack(changed)
        update.removed.Unpack(removed)
        if update.whole:
            names.clear()
        for device in removed.items:
            names.pop(device.serial, None)
        names.update({device.serial: device.name for device in changed.items})
        sizes.append(len(changed.items))
        if update.more:
            continue
        if len(sizes) > 1:
            break
        writer.UpdateDevice(devices.UpdateDeviceRequest(serial=serial, name="shelf 5"), timeout=30)
    updates.cancel()
    expect(sizes == [20, 1] and len(names) == 20 and names[serial] == "shelf 5", f"20 devices and then the renamed one were meant, not {sizes}")
    print(f'watch: {len(names)} devices, then the one that is now "{names[serial]}"')


def job(stub: devices.DevicesServiceStub, serial: str) -> None:
    """Starts a live tool and follows it to its end, with one call."""
    request = devices.CreateDeviceLiveToolsPingRequest(serial=serial, target="198.51.100.7")
    states = [state.status for state in stub.RunDeviceLiveToolsPing(request, timeout=60)]
    expect(states[-1:] == ["complete"], f"the ping went through {states}")
    print(f"job: the ping is {states[-1]} after {len(states)} states")


def failure(stub: devices.DevicesServiceStub) -> None:
    try:
        stub.GetDevice(devices.GetDeviceRequest(serial="Q2XX-XXXX-XXXX"), timeout=30)
    except grpc.RpcError as error:
        f = failure_of(error)
    else:
        sys.exit("tour: a device that is not there was found")
    expect(f.code == grpc.StatusCode.NOT_FOUND and f.reason == "NOT_FOUND", f"expected NOT_FOUND, got {f}")
    expect(f.dashboard is not None and f.dashboard.http_status == 404 and len(f.dashboard.messages) > 0,
           f"the Dashboard's own words are missing: {f}")
    assert f.dashboard is not None
    print(f'failure: {f.reason} ({f.dashboard.operation}), the Dashboard said "{f.dashboard.messages[0]}" '
          f"with HTTP {f.dashboard.http_status}")


def deadline(stub: devices.DevicesServiceStub, serial: str) -> None:
    try:
        stub.GetDevice(devices.GetDeviceRequest(serial=serial), timeout=0)
        sys.exit("tour: no time at all was enough")
    except grpc.RpcError as error:
        # Or the broker sees it first: what cannot make its deadline is refused at once.
        expect(error.code() in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED), f"got {error}")
    print("deadline: given up in time")


def retry(stub: organizations.OrganizationsServiceStub, organization: str) -> None:
    """Spends more than the budget allows at once, and comes back when told to."""

    def page(i: int, timeout: float = 2.0) -> Failure | None:
        # Each i is another URL: identical reads at one moment are one request.
        request = organizations.GetOrganizationDevicesRequest(organization_id=organization, per_page=10 + i)
        try:
            stub.GetOrganizationDevices(request, timeout=timeout)
        except grpc.RpcError as error:
            return failure_of(error)
        return None

    many = 60
    with futures.ThreadPoolExecutor(many) as pool:
        failures = [f for f in pool.map(page, range(many)) if f is not None]
    # One whose slot came at the last moment may still run into its deadline.
    failures = [f for f in failures if f.code != grpc.StatusCode.DEADLINE_EXCEEDED]
    refused = [f for f in failures if f.reason == "BUDGET_EXHAUSTED"]
    expect(refused != [] and len(refused) == len(failures), f"{many} calls in 2 s failed as {failures[:3]!r}")
    expect(all(f.code == grpc.StatusCode.RESOURCE_EXHAUSTED and f.retry_after > 0 for f in refused), f"refused as {refused[0]}")
    delay = refused[-1].retry_after
    time.sleep(delay)
    expect(page(many, timeout=30) is None, f"again after {delay} s it failed")
    print(f"retry as told: {len(refused)} of {many} refused; again after {delay:.3f} s, done")


def main(address: str) -> None:
    # Answers may have more than gRPC's usual 4 MiB.
    with grpc.insecure_channel(address, options=[("grpc.max_receive_message_length", 64 << 20)]) as channel:
        organizations_stub = organizations.OrganizationsServiceStub(channel)
        devices_stub = devices.DevicesServiceStub(channel)
        organization = read(organizations_stub)
        *_, other, serial = pages(organizations_stub, organization)
        write(devices_stub, serial)
        request = organizations.GetOrganizationNetworksRequest(organization_id=organization)
        network = organizations_stub.GetOrganizationNetworks(request, timeout=30).items[0].id
        read_modify_write(wireless.WirelessServiceStub(channel), network)
        many(broker.BatchServiceStub(channel), [other, serial])
        watch(broker.WatchServiceStub(channel), devices_stub, organization, serial)
        job(devices_stub, serial)
        failure(devices_stub)
        deadline(devices_stub, serial)
        retry(organizations_stub, organization)
    print("everything is as promised")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:50051")
