"""Reads devices through the broker, with a generated gRPC client.

usage: client.py ADDRESS ORGANIZATION FILE NAME   (FILE has a serial number a line)

Says "ready", waits for a line, reads one device after another, comes back when a
refusal says so, and says how often that was.
"""

import json
import sys
import time

import grpc

from meraki.organizations.v1 import inventory_pb2, organizations_service_pb2_grpc


def main():
    address, organization, file, name = sys.argv[1:]
    with open(file) as lines:
        serials = lines.read().split()
    channel = grpc.insecure_channel(address)
    grpc.channel_ready_future(channel).result(timeout=30)
    organizations = organizations_service_pb2_grpc.OrganizationsServiceStub(channel)
    metadata = [("x-forwarded-client-cert", "URI=spiffe://bench.example/" + name)]
    print("ready", flush=True)
    sys.stdin.readline()
    lost, took = 0, []
    for serial in serials:
        begun = time.monotonic()
        request = inventory_pb2.GetOrganizationInventoryDeviceRequest(organization_id=organization, serial=serial)
        while True:
            try:
                device = organizations.GetOrganizationInventoryDevice(request, metadata=metadata, timeout=60)
            except grpc.RpcError as error:
                lost += 1
                delay = dict(error.trailing_metadata() or ()).get("meraki-retry-delay-ms")
                if delay is None:
                    raise
                time.sleep(float(delay) / 1000)
                continue
            break
        if device.serial != serial:
            sys.exit("asked for %s, got %s" % (serial, device.serial))
        took.append(round(time.monotonic() - begun, 4))
    print(json.dumps({"answered": len(serials), "lost": lost, "took": took}), flush=True)


main()
