"""What a user of the vendor's Python SDK does, against whatever base address it is given.

    python sdk.py BASE KEY MODE ACTION

MODE is sync or aio. ACTION is tour (lists, a create, an update, a delete, a 404, a 400), load (twenty
threads that ask for twice the budget), writes ORGANIZATION (forty creates, each again until it has an answer), or
smart NETWORK OPERATION (one read of a network, with the SDK's own
limiter on, which looks up owners). The last line on standard output is JSON: what it has seen.
"""

import asyncio
import concurrent.futures
import inspect
import json
import sys
import time
import uuid

import meraki
import meraki.aio

BASE, KEY, MODE, ACTION, *MORE = sys.argv[1:]


def options(cls):
    """The settings that both generations of the SDK know, quiet and without its own limiter."""
    wanted = {
        "api_key": KEY,
        "base_url": BASE,
        "output_log": False,
        "print_console": False,
        "suppress_logging": True,
        "caller": "BrokerTest Founders",
        "maximum_retries": 3,
        "smart_flow_enabled": False,  # the broker keeps the budget
        "maximum_concurrent_requests": 20,
    }
    known = inspect.signature(cls.__init__).parameters
    return {k: v for k, v in wanted.items() if k in known}


def tour(dash):
    seen = {}
    organizations = dash.organizations.getOrganizations()
    org = organizations[0]["id"]
    seen["organizations"] = len(organizations)
    networks = dash.organizations.getOrganizationNetworks(org, perPage=3, total_pages=-1)
    seen["networks"] = len(networks)
    seen["distinct"] = len({n["id"] for n in networks})
    backwards = dash.organizations.getOrganizationNetworks(
        org, perPage=3, total_pages=-1, direction="prev", endingBefore="ZZZZ-ZZZZ-ZZZZ"
    )
    seen["backwards"] = len({n["id"] for n in backwards})
    name = "rest " + uuid.uuid4().hex[:8]
    made = dash.organizations.createOrganizationNetwork(org, name, ["appliance"])
    seen["created"] = made["name"] == name
    seen["updated"] = dash.networks.updateNetwork(made["id"], name=name + " b")["name"] == name + " b"
    dash.networks.deleteNetwork(made["id"])
    for key, call in (
        ("not_found", lambda: dash.networks.getNetwork(made["id"])),
        ("bad_request", lambda: dash.organizations.createOrganizationNetwork(org, "", [])),
    ):
        try:
            call()
            seen[key] = None
        except meraki.APIError as e:
            seen[key] = e.status
            seen[key + "_errors"] = bool(e.message.get("errors")) if isinstance(e.message, dict) else False
    return seen


def smart(network, operation):
    kwargs = options(meraki.DashboardAPI)
    kwargs["smart_flow_enabled"] = True
    answer = getattr(meraki.DashboardAPI(**kwargs).networks, operation)(network)
    return {"ok": isinstance(answer, dict)}


def iterate(cls):
    kwargs = options(cls)
    org = cls(**kwargs).organizations.getOrganizations()[0]["id"]
    kwargs["use_iterator_for_get_pages"] = True
    dash = cls(**kwargs)
    return len({n["id"] for n in dash.organizations.getOrganizationNetworks(org, perPage=3, total_pages=-1)})


def load(dash, seconds=5.0, threads=20, rate=20.0):
    """Asks for twice the budget of one organization, and says how it ended."""
    org = dash.organizations.getOrganizations()[0]["id"]
    calls = int(seconds * rate)
    start = time.monotonic()

    def one(n):
        try:
            dash.organizations.getOrganizationDevices(org, perPage=3 + n % 50, total_pages=1)
            return "ok"
        except Exception as e:  # every kind counts
            return type(e).__name__ + " " + str(getattr(e, "status", ""))

    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        ended = list(pool.map(one, range(calls)))
    return {"calls": calls, "ended": {k: ended.count(k) for k in set(ended)}, "seconds": round(time.monotonic() - start, 1)}


async def aio_tour():
    seen = {}
    kwargs = options(meraki.aio.AsyncDashboardAPI)
    async with meraki.aio.AsyncDashboardAPI(**kwargs) as dash:
        organizations = await dash.organizations.getOrganizations()
        org = organizations[0]["id"]
        seen["organizations"] = len(organizations)
        networks = await dash.organizations.getOrganizationNetworks(org, perPage=3, total_pages=-1)
        seen["networks"] = len(networks)
        seen["distinct"] = len({n["id"] for n in networks})
        backwards = await dash.organizations.getOrganizationNetworks(
            org, perPage=3, total_pages=-1, direction="prev", endingBefore="ZZZZ-ZZZZ-ZZZZ"
        )
        seen["backwards"] = len({n["id"] for n in backwards})
        name = "rest " + uuid.uuid4().hex[:8]
        made = await dash.organizations.createOrganizationNetwork(org, name, ["appliance"])
        seen["created"] = made["name"] == name
        seen["updated"] = (await dash.networks.updateNetwork(made["id"], name=name + " b"))["name"] == name + " b"
        await dash.networks.deleteNetwork(made["id"])
        for key, call in (
            ("not_found", lambda: dash.networks.getNetwork(made["id"])),
            ("bad_request", lambda: dash.organizations.createOrganizationNetwork(org, "", [])),
        ):
            try:
                await call()
                seen[key] = None
            except (meraki.APIError, meraki.AsyncAPIError) as e:
                seen[key] = e.status
                seen[key + "_errors"] = "errors" in str(e.message)
    kwargs["use_iterator_for_get_pages"] = True
    async with meraki.aio.AsyncDashboardAPI(**kwargs) as dash:
        ids = set()
        async for n in dash.organizations.getOrganizationNetworks(org, perPage=3, total_pages=-1):
            ids.add(n["id"])
        seen["iterated"] = len(ids)
    return seen


async def aio_load(seconds=5.0, rate=20.0):
    async with meraki.aio.AsyncDashboardAPI(**options(meraki.aio.AsyncDashboardAPI)) as dash:
        org = (await dash.organizations.getOrganizations())[0]["id"]
        calls = int(seconds * rate)
        start = time.monotonic()

        async def one(n):
            try:
                await dash.organizations.getOrganizationDevices(org, perPage=3 + n % 50, total_pages=1)
                return "ok"
            except Exception as e:
                return type(e).__name__ + " " + str(getattr(e, "status", ""))

        ended = await asyncio.gather(*(one(n) for n in range(calls)))
    return {"calls": calls, "ended": {k: ended.count(k) for k in set(ended)}, "seconds": round(time.monotonic() - start, 1)}


def unanswered(e):
    """Gives back what means that no answer came, of which the SDKs say 503 or no status at all, and raises the rest."""
    if isinstance(e, (meraki.APIError, meraki.AsyncAPIError)) and e.status not in (None, 503):
        raise e
    return e


def writes(dash, org, count=40, threads=8):
    """Creates networks, and repeats what the SDK has given up on."""

    def one(n):
        for _ in range(6):
            try:
                return dash.organizations.createOrganizationNetwork(org, f"network {n}", ["appliance"])["name"] == f"network {n}"
            except Exception as e:
                last = unanswered(e)
        raise last

    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        return {"made": sum(pool.map(one, range(count)))}


async def aio_writes(org, count=40, together=8):
    room = asyncio.Semaphore(together)
    async with meraki.aio.AsyncDashboardAPI(**options(meraki.aio.AsyncDashboardAPI)) as dash:

        async def one(n):
            async with room:
                for _ in range(6):
                    try:
                        made = await dash.organizations.createOrganizationNetwork(org, f"network {n}", ["appliance"])
                        return made["name"] == f"network {n}"
                    except Exception as e:
                        last = unanswered(e)
                raise last

        return {"made": sum(await asyncio.gather(*(one(n) for n in range(count))))}


def main():
    if ACTION == "smart":
        out = smart(*MORE)
    elif ACTION == "writes":
        out = asyncio.run(aio_writes(*MORE)) if MODE == "aio" else writes(meraki.DashboardAPI(**options(meraki.DashboardAPI)), *MORE)
    elif MODE == "aio":
        out = asyncio.run(aio_tour() if ACTION == "tour" else aio_load())
    else:
        dash = meraki.DashboardAPI(**options(meraki.DashboardAPI))
        if ACTION == "tour":
            out = tour(dash)
            out["iterated"] = iterate(meraki.DashboardAPI)
        else:
            out = load(dash)
    print(json.dumps(out))


main()
