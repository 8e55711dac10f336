// Joins the generated services to @grpc/grpc-js, the official gRPC client for
// Node. Nothing here knows an operation: the service's descriptor says all.
import { Client, Metadata, credentials } from "@grpc/grpc-js";
import type { CallOptions, ChannelCredentials, ClientOptions, MethodDefinition } from "@grpc/grpc-js";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { DescMethod, DescMessage, DescService, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import type { DescMethodServerStreaming, DescMethodUnary } from "@bufbuild/protobuf";

/** What may be said beside the request. */
export interface Options extends Omit<CallOptions, "deadline"> {
  /** Milliseconds until the call is given up. The broker refuses at once what cannot make it. */
  timeoutMs?: number;
  /** meraki-priority, meraki-organization-id and so on. */
  metadata?: Record<string, string>;
  /** Ends the call, and at the broker its place in the queue. */
  signal?: AbortSignal;
  /** Takes the headers of the reply, which tell the queue and the attempts. */
  onHeader?: (headers: Metadata) => void;
}

/** The RPCs of a service: a unary one is a promise, a stream is iterated. */
export type ServiceClient<S extends DescService> = {
  [M in keyof S["method"]]: S["method"][M] extends DescMethodUnary<infer I, infer O>
    ? (request: MessageInitShape<I>, options?: Options) => Promise<MessageShape<O>>
    : S["method"][M] extends DescMethodServerStreaming<infer I, infer O>
      ? (request: MessageInitShape<I>, options?: Options) => AsyncIterable<MessageShape<O>>
      : never;
};

/** A channel to the broker that many services share. Close it at the end. */
export class Channel {
  readonly #client: Client;

  /** Without credentials the channel is cleartext: to a sidecar, or on one machine. */
  constructor(address: string, channelCredentials?: ChannelCredentials, options?: ClientOptions) {
    this.#client = new Client(address, channelCredentials ?? credentials.createInsecure(), options);
  }

  /** The typed client of one service. Making one costs nothing; calls share the channel. */
  service<S extends DescService>(service: S): ServiceClient<S> {
    const calls: Record<string, unknown> = {};
    for (const method of service.methods) {
      const definition = define(method);
      if (method.methodKind === "unary") {
        calls[method.localName] = (request: object, options: Options = {}) => this.#unary(method, definition, request, options);
      } else if (method.methodKind === "server_streaming") {
        calls[method.localName] = (request: object, options: Options = {}) => this.#stream(method, definition, request, options);
      }
    }
    return calls as ServiceClient<S>;
  }

  close(): void {
    this.#client.close();
  }

  #unary(method: DescMethod, d: Definition, request: object, options: Options): Promise<object> {
    return new Promise((resolve, reject) => {
      const message = create(method.input, request as MessageInitShape<DescMessage>);
      const call = this.#client.makeUnaryRequest(d.path, d.requestSerialize, d.responseDeserialize, message,
        metadataOf(options), callOptions(options), (error, answer) => (error ? reject(error) : resolve(answer as object)));
      if (options.onHeader) call.on("metadata", options.onHeader);
      end(options.signal, call);
    });
  }

  async *#stream(method: DescMethod, d: Definition, request: object, options: Options): AsyncGenerator<object> {
    const message = create(method.input, request as MessageInitShape<DescMessage>);
    const call = this.#client.makeServerStreamRequest(d.path, d.requestSerialize, d.responseDeserialize, message,
      metadataOf(options), callOptions(options));
    if (options.onHeader) call.on("metadata", options.onHeader);
    end(options.signal, call);
    try {
      yield* call;
    } finally {
      // A loop that is left early must not go on fetching pages. Cancelling makes
      // one more error, which nobody waits for.
      call.on("error", () => {});
      call.cancel();
    }
  }
}

type Definition = Pick<MethodDefinition<object, object>, "path" | "requestSerialize" | "responseDeserialize">;

function define(method: DescMethod): Definition {
  return {
    path: `/${method.parent.typeName}/${method.name}`,
    requestSerialize: (message) => Buffer.from(toBinary(method.input, message as MessageShape<DescMessage>)),
    responseDeserialize: (bytes) => fromBinary(method.output, bytes),
  };
}

function metadataOf(options: Options): Metadata {
  const metadata = new Metadata();
  for (const [key, value] of Object.entries(options.metadata ?? {})) metadata.set(key, value);
  return metadata;
}

function callOptions({ timeoutMs, metadata: _m, signal: _s, onHeader: _h, ...rest }: Options): CallOptions {
  return timeoutMs === undefined ? rest : { ...rest, deadline: Date.now() + timeoutMs };
}

function end(signal: AbortSignal | undefined, call: { cancel(): void; on(event: "status", f: () => void): unknown }): void {
  if (!signal) return;
  const cancel = () => call.cancel();
  if (signal.aborted) cancel();
  signal.addEventListener("abort", cancel, { once: true });
  call.on("status", () => signal.removeEventListener("abort", cancel));
}
