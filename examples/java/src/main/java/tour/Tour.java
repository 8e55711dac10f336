package tour;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.merakibroker.broker.v1.ApplyWritesRequest;
import com.merakibroker.broker.v1.ApplyWritesResponse;
import com.merakibroker.broker.v1.BatchServiceGrpc;
import com.merakibroker.broker.v1.WatchRequest;
import com.merakibroker.broker.v1.WatchResponse;
import com.merakibroker.broker.v1.WatchServiceGrpc;
import com.merakibroker.broker.v1.Write;
import com.merakibroker.devices.v1.CreateDeviceLiveToolsPingRequest;
import com.merakibroker.devices.v1.DevicesServiceGrpc;
import com.merakibroker.devices.v1.GetDeviceRequest;
import com.merakibroker.devices.v1.UpdateDeviceRequest;
import com.merakibroker.organizations.v1.GetOrganizationDevicesRequest;
import com.merakibroker.organizations.v1.GetOrganizationDevicesResponse;
import com.merakibroker.organizations.v1.GetOrganizationNetworksRequest;
import com.merakibroker.organizations.v1.GetOrganizationsRequest;
import com.merakibroker.organizations.v1.OrganizationsServiceGrpc;
import com.merakibroker.wireless.v1.GetNetworkWirelessSsidRequest;
import com.merakibroker.wireless.v1.UpdateNetworkWirelessSsidRequest;
import com.merakibroker.wireless.v1.WirelessServiceGrpc;
import io.grpc.Context;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeSet;
import java.util.concurrent.Callable;
import java.util.concurrent.Executors;

/**
 * A tour of what a caller of the broker does: a typed read, a collection page by page, a write that
 * clears a field, many writes as few requests, a list that is watched, a job from its start to its
 * end, a failure with its details, a deadline, and trying again when told to. It checks what it sees,
 * and fails when something is not as promised.
 */
public final class Tour {
  private static final Duration TIMEOUT = Duration.ofSeconds(30);

  private final OrganizationsServiceGrpc.OrganizationsServiceBlockingStub organizations;
  private final DevicesServiceGrpc.DevicesServiceBlockingStub devices;
  private final WirelessServiceGrpc.WirelessServiceBlockingStub wireless;
  private final BatchServiceGrpc.BatchServiceBlockingStub batches;
  private final WatchServiceGrpc.WatchServiceBlockingStub watches;

  private Tour(ManagedChannel channel) {
    organizations = OrganizationsServiceGrpc.newBlockingStub(channel);
    devices = DevicesServiceGrpc.newBlockingStub(channel);
    wireless = WirelessServiceGrpc.newBlockingStub(channel);
    batches = BatchServiceGrpc.newBlockingStub(channel);
    watches = WatchServiceGrpc.newBlockingStub(channel);
  }

  public static void main(String[] args) throws Exception {
    String address = args.length > 0 ? args[0] : "127.0.0.1:50051";
    ManagedChannel channel = Grpc.newChannelBuilder(address, InsecureChannelCredentials.create())
        .maxInboundMessageSize(64 << 20) // answers may have more than gRPC's usual 4 MiB
        .build();
    try {
      Tour tour = new Tour(channel);
      String organization = tour.read();
      TreeSet<String> serials = tour.pages(organization);
      String serial = serials.last();
      tour.write(serial);
      tour.readModifyWrite(organization);
      tour.many(List.of(serials.lower(serial), serial));
      tour.watch(organization, serial);
      tour.job(serial);
      tour.failure();
      tour.deadline(serial);
      tour.retry(organization);
      System.out.println("everything is as promised");
    } finally {
      channel.shutdownNow();
    }
  }

  private static void expect(boolean holds, String otherwise) {
    if (!holds) {
      throw new IllegalStateException(otherwise);
    }
  }

  /** A typed RPC. */
  private String read() {
    var all = organizations.withDeadlineAfter(TIMEOUT).getOrganizations(GetOrganizationsRequest.getDefaultInstance());
    expect(all.getItemsCount() > 0 && all.getItems(0).hasId(), "no organization came back");
    System.out.printf("read: %d organizations%n", all.getItemsCount());
    return all.getItems(0).getId();
  }

  /** A collection page by page. The broker stops fetching when nobody reads. */
  private TreeSet<String> pages(String organization) {
    var request = GetOrganizationDevicesRequest.newBuilder().setOrganizationId(organization).setPerPage(7).build();
    List<Integer> sizes = new ArrayList<>();
    TreeSet<String> serials = new TreeSet<>();
    organizations.withDeadlineAfter(TIMEOUT).streamOrganizationDevices(request).forEachRemaining(page -> {
      sizes.add(page.getItemsCount());
      page.getItemsList().forEach(device -> serials.add(device.getSerial()));
    });
    expect(sizes.equals(List.of(7, 7, 6)), "the sandbox's 20 devices are 3 pages of 7; got pages of " + sizes);
    System.out.printf("pages: %d devices in %d pages%n", serials.size(), sizes.size());
    return serials;
  }

  /** Sets fields, then clears one: null_fields names what is sent as JSON null. */
  private void write(String serial) {
    var set = devices.withDeadlineAfter(TIMEOUT).updateDevice(UpdateDeviceRequest.newBuilder()
        .setSerial(serial).setName("shelf 3").setFloorPlanId("g_1234567").build());
    expect(set.getName().equals("shelf 3") && set.getFloorPlanId().equals("g_1234567"), "wrote name and floor plan, got back " + set);
    var cleared = devices.withDeadlineAfter(TIMEOUT).updateDevice(UpdateDeviceRequest.newBuilder()
        .setSerial(serial).addNullFields("floor_plan_id").build());
    expect(!cleared.hasFloorPlanId() && cleared.getName().equals("shelf 3"), "cleared the floor plan alone, got back " + cleared);
    System.out.printf("write: %s is now \"%s\" and on no floor plan%n", serial, cleared.getName());
  }

  /** Changes one field, and all else stays as it was, also what the vendor's document does not show in the request. */
  private void readModifyWrite(String organization) {
    String network = organizations.withDeadlineAfter(TIMEOUT).getOrganizationNetworks(
        GetOrganizationNetworksRequest.newBuilder().setOrganizationId(organization).build()).getItems(0).getId();
    var read = GetNetworkWirelessSsidRequest.newBuilder().setNetworkId(network).setNumber("0").build();
    var before = wireless.withDeadlineAfter(TIMEOUT).getNetworkWirelessSsid(read);
    var request = UpdateNetworkWirelessSsidRequest.newBuilder();
    Fields.copy(request, before);
    wireless.withDeadlineAfter(TIMEOUT).updateNetworkWirelessSsid(request.setNetworkId(network).setNumber("0").setName("lounge").build());
    var after = wireless.withDeadlineAfter(TIMEOUT).getNetworkWirelessSsid(read);
    expect(after.equals(before.toBuilder().setName("lounge").build()), "wrote back " + before + " and read " + after);
    System.out.printf("read, modify, write: the SSID is now \"%s\", and all else as before%n", after.getName());
  }

  /** Writes as few requests. Each has an outcome of its own: here one of three is about a device that is not there. */
  private void many(List<String> serials) {
    String nowhere = "Q2XX-XXXX-XXXX";
    List<String> all = new ArrayList<>(serials);
    all.add(nowhere);
    var list = ApplyWritesRequest.newBuilder();
    for (String serial : all) {
      var request = UpdateDeviceRequest.newBuilder().setSerial(serial).setName("shelf 4").build();
      list.addWrites(Write.newBuilder().setId(serial).setRequest(Any.pack(request)));
    }
    Map<String, ApplyWritesResponse> outcomes = new HashMap<>();
    batches.withDeadlineAfter(TIMEOUT).applyWrites(list.build()).forEachRemaining(outcome -> outcomes.put(outcome.getId(), outcome));
    String batch = outcomes.get(serials.get(0)).getDone().getActionBatchId();
    expect(!batch.isEmpty() && batch.equals(outcomes.get(serials.get(1)).getDone().getActionBatchId()),
        "two writes in one action batch were meant, not " + outcomes);
    expect(outcomes.get(nowhere).getFailed().getCode() == Status.Code.NOT_FOUND.value(), "expected NOT_FOUND, got " + outcomes.get(nowhere));
    System.out.printf("many writes: %d done in action batch %s, 1 failed by itself%n", serials.size(), batch);
  }

  /**
   * A list, whoever changes it: first all of it, then the rows that differ. However many watch, the
   * Dashboard is read once. The watch ends with the context that it was begun in.
   */
  private void watch(String organization, String serial) throws Exception {
    var request = Any.pack(GetOrganizationDevicesRequest.newBuilder().setOrganizationId(organization).build());
    var age = com.google.protobuf.Duration.newBuilder().setSeconds(1).build();
    Map<String, String> names = new HashMap<>();
    List<Integer> sizes = new ArrayList<>();
    try (var watching = Context.current().withCancellation()) {
      var updates = watching.call(() -> watches.withDeadlineAfter(TIMEOUT)
          .watch(WatchRequest.newBuilder().setRequest(request).setAge(age).build()));
      while (sizes.size() < 2) {
        WatchResponse update;
        int changed = 0;
        do {
          update = updates.next();
          if (update.getWhole()) {
            names.clear();
          }
          rows(update.hasRemoved(), update.getRemoved()).getItemsList().forEach(device -> names.remove(device.getSerial()));
          var rows = rows(update.hasChanged(), update.getChanged()).getItemsList();
          rows.forEach(device -> names.put(device.getSerial(), device.getName()));
          changed += rows.size();
        } while (update.getMore());
        sizes.add(changed);
        if (sizes.size() == 1) {
          devices.withDeadlineAfter(TIMEOUT).updateDevice(UpdateDeviceRequest.newBuilder().setSerial(serial).setName("shelf 5").build());
        }
      }
    }
    expect(sizes.equals(List.of(20, 1)) && names.size() == 20 && names.get(serial).equals("shelf 5"),
        "20 devices and then the renamed one were meant, not " + sizes);
    System.out.printf("watch: %d devices, then the one that is now \"%s\"%n", names.size(), names.get(serial));
  }

  private static GetOrganizationDevicesResponse rows(boolean there, Any any) throws InvalidProtocolBufferException {
    return there ? any.unpack(GetOrganizationDevicesResponse.class) : GetOrganizationDevicesResponse.getDefaultInstance();
  }

  /** Starts a live tool and follows it to its end, with one call. */
  private void job(String serial) {
    var request = CreateDeviceLiveToolsPingRequest.newBuilder().setSerial(serial).setTarget("198.51.100.7").build();
    List<String> states = new ArrayList<>();
    devices.withDeadlineAfter(TIMEOUT).runDeviceLiveToolsPing(request).forEachRemaining(state -> states.add(state.getStatus()));
    expect(!states.isEmpty() && states.get(states.size() - 1).equals("complete"), "the ping went through " + states);
    System.out.printf("job: the ping is complete after %d states%n", states.size());
  }

  private void failure() {
    var f = failureOf(() -> devices.withDeadlineAfter(TIMEOUT).getDevice(GetDeviceRequest.newBuilder().setSerial("Q2XX-XXXX-XXXX").build()))
        .orElseThrow(() -> new IllegalStateException("a device that is not there was found"));
    expect(f.code() == Status.Code.NOT_FOUND && f.reason().equals("NOT_FOUND"), "expected NOT_FOUND, got " + f);
    expect(f.dashboard().getHttpStatus() == 404 && f.dashboard().getMessagesCount() > 0, "the Dashboard's own words are missing: " + f);
    System.out.printf("failure: %s (%s), the Dashboard said \"%s\" with HTTP %d%n", f.reason(), f.dashboard().getOperation(),
        f.dashboard().getMessages(0), f.dashboard().getHttpStatus());
  }

  private void deadline(String serial) {
    var f = failureOf(() -> devices.withDeadlineAfter(Duration.ZERO).getDevice(GetDeviceRequest.newBuilder().setSerial(serial).build()));
    expect(f.map(Failure::code).orElse(Status.Code.OK) == Status.Code.DEADLINE_EXCEEDED, "no time at all was enough");
    System.out.println("deadline: given up in time");
  }

  /** Spends more than the budget allows at once, and comes back when told to. */
  private void retry(String organization) throws Exception {
    int many = 60;
    var pool = Executors.newFixedThreadPool(many);
    List<Failure> refused = new ArrayList<>();
    try {
      List<Callable<Optional<Failure>>> calls = new ArrayList<>();
      for (int i = 0; i < many; i++) {
        int each = i;
        calls.add(() -> page(organization, each, Duration.ofSeconds(2)));
      }
      for (var call : pool.invokeAll(calls)) {
        // One whose slot came at the last moment may still run into its deadline.
        call.get().filter(f -> f.code() != Status.Code.DEADLINE_EXCEEDED).ifPresent(refused::add);
      }
    } finally {
      pool.shutdownNow();
    }
    expect(!refused.isEmpty(), "nothing was refused");
    for (Failure f : refused) {
      expect(f.code() == Status.Code.RESOURCE_EXHAUSTED && f.reason().equals("BUDGET_EXHAUSTED") && f.retryAfter().toMillis() > 0,
          "refused as " + f);
    }
    Duration delay = refused.get(refused.size() - 1).retryAfter();
    Thread.sleep(delay.toMillis() + 1);
    expect(page(organization, many, TIMEOUT).isEmpty(), "again after " + delay + " it failed");
    System.out.printf("retry as told: %d of %d refused; again after %d ms, done%n", refused.size(), many, delay.toMillis());
  }

  /** Each i is another URL: identical reads at one moment are one request. */
  private Optional<Failure> page(String organization, int i, Duration timeout) {
    var request = GetOrganizationDevicesRequest.newBuilder().setOrganizationId(organization).setPerPage(10 + i).build();
    return failureOf(() -> organizations.withDeadlineAfter(timeout).getOrganizationDevices(request));
  }

  private static Optional<Failure> failureOf(Runnable call) {
    try {
      call.run();
      return Optional.empty();
    } catch (StatusRuntimeException error) {
      return Optional.of(Failure.of(error));
    }
  }
}
