// A tour of what a caller of the broker does, in TypeScript on Node: a typed
// read, a collection page by page, a write that clears a field, many writes as few
// requests, a list that is watched, a job from its start to its end, a failure with
// its details, a deadline, and trying again when told to. It checks what it sees and
// exits with 1 when something is not as promised:
//
//	go run ./cmd/merakid -sandbox &
//	npm install dist/merakibroker-1.73.0.tgz @grpc/grpc-js
//	tsc && node tour.js 127.0.0.1:50051
import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import { create, equals, isFieldSet, type DescField, type DescMessage, type Message } from "@bufbuild/protobuf";
import { anyPack, anyUnpack } from "@bufbuild/protobuf/wkt";
import { status } from "@grpc/grpc-js";
import { BatchService, WatchService, type ApplyWritesResponse } from "merakibroker/broker";
import { DevicesService } from "merakibroker/devices";
import { failureOf } from "merakibroker/failure";
import { Channel } from "merakibroker/grpc-js";
import { OrganizationsService } from "merakibroker/organizations";
import { WirelessService } from "merakibroker/wireless";

// Answers may have more than gRPC's usual 4 MiB.
const options = { "grpc.max_receive_message_length": 64 << 20 };
const channel = new Channel(process.argv[2] ?? "127.0.0.1:50051", undefined, options);
const organizations = channel.service(OrganizationsService);
const devices = channel.service(DevicesService);
const wireless = channel.service(WirelessService);
const batches = channel.service(BatchService);
const watches = channel.service(WatchService);
const timeoutMs = 30_000;

// A typed RPC. The reply's headers say what it cost.
async function read(): Promise<string> {
  let waited = "";
  const { items } = await organizations.getOrganizations({}, {
    timeoutMs,
    onHeader: (headers) => { waited = String(headers.get("meraki-queue-ms")[0]); },
  });
  const first = items[0]?.id;
  assert(first, "no organization came back");
  console.log(`read: ${items.length} organizations, waited ${waited} ms for a slot`);
  return first;
}

// A collection page by page. The broker stops fetching when nobody reads.
async function pages(organizationId: string): Promise<string[]> {
  const sizes: number[] = [];
  const serials = new Set<string>();
  for await (const page of organizations.streamOrganizationDevices({ organizationId, perPage: 7n }, { timeoutMs })) {
    sizes.push(page.items.length);
    for (const d of page.items) serials.add(d.serial ?? "");
  }
  assert.deepEqual(sizes, [7, 7, 6], "the sandbox's 20 devices are 3 pages of 7");
  console.log(`pages: ${serials.size} devices in ${sizes.length} pages`);
  // Leaving a stream early ends it at the broker too.
  for await (const page of organizations.streamOrganizationDevices({ organizationId, perPage: 3n }, { timeoutMs })) {
    assert.equal(page.items.length, 3);
    break;
  }
  return [...serials].sort();
}

// Sets fields, then clears one: nullFields names what is sent as JSON null.
async function write(serial: string): Promise<void> {
  const set = await devices.updateDevice({ serial, name: "shelf 3", floorPlanId: "g_1234567" }, { timeoutMs });
  assert.equal(set.name, "shelf 3");
  assert.equal(set.floorPlanId, "g_1234567");
  const cleared = await devices.updateDevice({ serial, nullFields: ["floor_plan_id"] }, { timeoutMs });
  assert.equal(cleared.floorPlanId, undefined, "the floor plan was cleared");
  assert.equal(cleared.name, "shelf 3", "and nothing else");
  console.log(`write: ${serial} is now "${cleared.name}" and on no floor plan`);
}

// The type of a field, also of a map's.
function typeOf(f: DescField): string {
  const kind = f.fieldKind === "list" ? f.listKind : f.fieldKind === "map" ? f.mapKind : "";
  return [f.fieldKind, kind, f.scalar, f.message?.typeName, f.fieldKind === "map" ? f.mapKey : ""].join(" ");
}

// Copies what two messages have in common, by name and type: additionalProperties, too.
function copyFields(toSchema: DescMessage, to: Message, fromSchema: DescMessage, from: Message): void {
  const target = to as unknown as Record<string, unknown>, source = from as unknown as Record<string, unknown>;
  for (const field of fromSchema.fields) {
    const into = toSchema.fields.find((f) => f.name === field.name);
    if (into && typeOf(into) === typeOf(field) && isFieldSet(from, field)) target[into.localName] = source[field.localName];
  }
}

// Changes one field, and all else stays as it was, also what the vendor's
// document does not show in the request.
async function readModifyWrite(organizationId: string): Promise<void> {
  const { items } = await organizations.getOrganizationNetworks({ organizationId }, { timeoutMs });
  const ssid = { networkId: items[0]!.id!, number: "0" };
  const before = await wireless.getNetworkWirelessSsid(ssid, { timeoutMs });
  const { getNetworkWirelessSsid: get, updateNetworkWirelessSsid: put } = WirelessService.method;
  const request = create(put.input);
  copyFields(put.input, request, get.output, before);
  await wireless.updateNetworkWirelessSsid({ ...request, ...ssid, name: "lounge" }, { timeoutMs });
  const after = await wireless.getNetworkWirelessSsid(ssid, { timeoutMs });
  before.name = "lounge";
  assert(equals(get.output, before, after), "what was written back is what is read");
  console.log(`read, modify, write: the SSID is now "${after.name}", and all else as before`);
}

// Writes as few requests. Each has an outcome of its own: here one of three is
// about a device that is not there.
async function many(serials: string[]): Promise<void> {
  const nowhere = "Q2XX-XXXX-XXXX";
  const { input } = DevicesService.method.updateDevice;
  const writes = [...serials, nowhere].map((serial) => ({ id: serial, request: anyPack(input, create(input, { serial, name: "shelf 4" })) }));
  const outcomes = new Map<string, ApplyWritesResponse["outcome"]>();
  for await (const { id, outcome } of batches.applyWrites({ writes }, { timeoutMs })) outcomes.set(id, outcome);
  const carriers = new Set(serials.map((serial) => {
    const outcome = outcomes.get(serial);
    return outcome?.case === "done" ? outcome.value.actionBatchId : "";
  }));
  assert(carriers.size === 1 && !carriers.has(""), "two writes in one action batch were meant");
  const failed = outcomes.get(nowhere);
  assert(failed?.case === "failed" && failed.value.code === status.NOT_FOUND, "the third is not found");
  console.log(`many writes: ${serials.length} done in action batch ${[...carriers][0]}, 1 failed by itself`);
}

// A list, whoever changes it: first all of it, then the rows that differ. However
// many watch, the Dashboard is read once.
async function watch(organizationId: string, serial: string): Promise<void> {
  const { input, output } = OrganizationsService.method.getOrganizationDevices;
  const request = anyPack(input, create(input, { organizationId }));
  const names = new Map<string, string | undefined>();
  const sizes: number[] = [];
  for await (const update of watches.watch({ request, age: { seconds: 1n } }, { timeoutMs })) {
    const rows = (any: typeof update.changed) => (any && anyUnpack(any, output)?.items) ?? [];
    if (update.whole) names.clear();
    for (const d of rows(update.removed)) names.delete(d.serial ?? "");
    for (const d of rows(update.changed)) names.set(d.serial ?? "", d.name);
    sizes.push(rows(update.changed).length);
    if (update.more) continue;
    if (sizes.length > 1) break;
    await devices.updateDevice({ serial, name: "shelf 5" }, { timeoutMs });
  }
  assert.deepEqual(sizes, [20, 1], "20 devices and then the renamed one were meant");
  assert.equal(names.get(serial), "shelf 5");
  console.log(`watch: ${names.size} devices, then the one that is now "${names.get(serial)}"`);
}

// Starts a live tool and follows it to its end, with one call.
async function job(serial: string): Promise<void> {
  const states: (string | undefined)[] = [];
  for await (const state of devices.runDeviceLiveToolsPing({ serial, target: "198.51.100.7" }, { timeoutMs })) states.push(state.status);
  assert.equal(states.at(-1), "complete");
  console.log(`job: the ping is complete after ${states.length} states`);
}

async function failure(): Promise<void> {
  const error = await devices.getDevice({ serial: "Q2XX-XXXX-XXXX" }, { timeoutMs }).then(() => undefined, (e: unknown) => e);
  const f = failureOf(error);
  assert.equal(f?.code, status.NOT_FOUND);
  assert.equal(f.reason, "NOT_FOUND");
  assert.equal(f.dashboard?.httpStatus, 404);
  assert(f.dashboard.messages.length > 0, "the Dashboard's own words are missing");
  console.log(`failure: ${f.reason} (${f.dashboard.operation}), the Dashboard said "${f.dashboard.messages[0]}" with HTTP ${f.dashboard.httpStatus}`);
}

async function deadline(serial: string): Promise<void> {
  const error = await devices.getDevice({ serial }, { timeoutMs: 0 }).then(() => undefined, (e: unknown) => e);
  assert.equal(failureOf(error)?.code, status.DEADLINE_EXCEEDED, "no time at all was enough");
  console.log("deadline: given up in time");
}

// Spends more than the budget allows at once, and comes back when told to.
async function retry(organizationId: string): Promise<void> {
  const many = 60;
  // Each i is another URL: identical reads at one moment are one request.
  const page = (i: number, timeoutMs: number) => organizations.getOrganizationDevices({ organizationId, perPage: BigInt(10 + i) }, { timeoutMs });
  const outcomes = await Promise.allSettled(Array.from({ length: many }, (_, i) => page(i, 2000)));
  const failed = outcomes.flatMap((o) => (o.status === "rejected" ? [failureOf(o.reason)] : []));
  // One whose slot came at the last moment may still run into its deadline.
  const refused = failed.filter((f) => f?.code !== status.DEADLINE_EXCEEDED);
  assert(refused.length > 0, "nothing was refused");
  for (const f of refused) {
    assert.equal(f?.reason, "BUDGET_EXHAUSTED");
    assert.equal(f.code, status.RESOURCE_EXHAUSTED);
    assert(f.retryAfterMs, "a refusal says when to come back");
  }
  const delay = refused.at(-1)!.retryAfterMs!;
  await pause(delay);
  await page(many, timeoutMs);
  console.log(`retry as told: ${refused.length} of ${many} refused; again after ${delay} ms, done`);
}

try {
  const organization = await read();
  const serials = (await pages(organization)).slice(-2);
  const serial = serials[1]!;
  await write(serial);
  await readModifyWrite(organization);
  await many(serials);
  await watch(organization, serial);
  await job(serial);
  await failure();
  await deadline(serial);
  await retry(organization);
  console.log("everything is as promised");
} finally {
  channel.close();
}
