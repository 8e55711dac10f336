// Reads what a failed call carries in its trailers: google.rpc details, and the
// broker's own. @grpc/grpc-js has no reader of details.
import { fromBinary } from "@bufbuild/protobuf";
import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import type { Any } from "@bufbuild/protobuf/wkt";
import { BadRequestSchema, ErrorInfoSchema, QuotaFailureSchema, RequestInfoSchema, ResourceInfoSchema, RetryInfoSchema, StatusSchema } from "./google/rpc/index.js";
import type { BadRequest, ErrorInfo, QuotaFailure, RequestInfo, ResourceInfo } from "./google/rpc/index.js";
import { DashboardErrorSchema } from "./meraki/broker/v1/index.js";
import type { DashboardError } from "./meraki/broker/v1/index.js";

/** Why a call failed, in the broker's words. What the broker did not say is absent. */
export interface Failure {
  /** grpc status code. */
  code: number;
  message: string;
  /** ErrorInfo.reason: NOT_FOUND, BUDGET_EXHAUSTED and so on; what to switch on. */
  reason: string;
  /** When a next try makes sense; absent when it does not. */
  retryAfterMs?: number;
  errorInfo?: ErrorInfo;
  badRequest?: BadRequest;
  quotaFailure?: QuotaFailure;
  resourceInfo?: ResourceInfo;
  requestInfo?: RequestInfo;
  dashboard?: DashboardError;
}

interface Failed {
  code: number;
  details: string;
  metadata: { get(key: string): (string | Buffer)[] };
}

/** The failure in an error that a call threw; undefined when the error is not one of a call. */
export function failureOf(error: unknown): Failure | undefined {
  if (!isFailed(error)) return undefined;
  const failure: Failure = { code: error.code, message: error.details, reason: "" };
  const [packed] = error.metadata.get("grpc-status-details-bin");
  // What a proxy wrote in the broker's place has no details, or foreign ones.
  const details = packed instanceof Uint8Array ? fromBinary(StatusSchema, packed).details : [];
  failure.errorInfo = find(details, ErrorInfoSchema);
  failure.badRequest = find(details, BadRequestSchema);
  failure.quotaFailure = find(details, QuotaFailureSchema);
  failure.resourceInfo = find(details, ResourceInfoSchema);
  failure.requestInfo = find(details, RequestInfoSchema);
  failure.dashboard = find(details, DashboardErrorSchema);
  failure.reason = failure.errorInfo?.reason ?? "";
  const delay = find(details, RetryInfoSchema)?.retryDelay;
  if (delay) failure.retryAfterMs = Number(delay.seconds) * 1000 + Math.ceil(delay.nanos / 1e6);
  return failure;
}

function isFailed(error: unknown): error is Failed {
  return error instanceof Error && "code" in error && "details" in error && "metadata" in error;
}

function find<D extends DescMessage>(details: Any[], schema: D): MessageShape<D> | undefined {
  for (const detail of details) {
    const message = anyUnpack(detail, schema);
    if (message) return message;
  }
  return undefined;
}
