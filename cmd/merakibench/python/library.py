"""Reads devices with the vendor's own library, straight at the Dashboard.

usage: library.py BASE_URL ORGANIZATION FILE   (FILE has a serial number a line)

Says "ready", waits for a line, reads one device after another with the library's
own defaults, asks again for what it gave up on, and says how often that was.
"""

import json
import sys
import time

import meraki


def main():
    base, organization, file = sys.argv[1:]
    with open(file) as lines:
        serials = lines.read().split()
    dashboard = meraki.DashboardAPI(
        "the-sandbox-takes-any", base_url=base, suppress_logging=True, caller="MerakiBench/1.0 MerakiBroker"
    )
    print("ready", flush=True)
    sys.stdin.readline()
    lost, took = 0, []
    for serial in serials:
        begun = time.monotonic()
        while True:
            try:
                device = dashboard.organizations.getOrganizationInventoryDevice(organization, serial)
            except meraki.APIError:
                lost += 1
                continue
            break
        if device["serial"] != serial:
            sys.exit("asked for %s, got %s" % (serial, device["serial"]))
        took.append(round(time.monotonic() - begun, 4))
    print(json.dumps({"answered": len(serials), "lost": lost, "took": took}), flush=True)


main()
