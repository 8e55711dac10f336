package tour;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import com.merakibroker.broker.v1.DashboardError;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.time.Duration;

/** What a failed call tells, taken out of its details. */
record Failure(Status.Code code, String reason, Duration retryAfter, DashboardError dashboard) {

  static Failure of(StatusRuntimeException error) {
    String reason = "";
    Duration retryAfter = Duration.ZERO;
    DashboardError dashboard = DashboardError.getDefaultInstance();
    var status = StatusProto.fromThrowable(error);
    try {
      for (Any detail : status == null ? java.util.List.<Any>of() : status.getDetailsList()) {
        if (detail.is(ErrorInfo.class)) {
          reason = detail.unpack(ErrorInfo.class).getReason();
        } else if (detail.is(RetryInfo.class)) {
          var delay = detail.unpack(RetryInfo.class).getRetryDelay();
          retryAfter = Duration.ofSeconds(delay.getSeconds(), delay.getNanos());
        } else if (detail.is(DashboardError.class)) {
          dashboard = detail.unpack(DashboardError.class);
        }
      }
    } catch (InvalidProtocolBufferException e) {
      throw new IllegalStateException("details that are not what they say they are", e);
    }
    return new Failure(error.getStatus().getCode(), reason, retryAfter, dashboard);
  }
}
