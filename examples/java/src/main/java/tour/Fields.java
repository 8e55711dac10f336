package tour;

import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.Message;
import java.util.List;

/** Fields of two messages. */
final class Fields {
  private Fields() {}

  /** Copies what two messages have in common, by name and type: additional_properties, too. */
  static void copy(Message.Builder to, Message from) {
    from.getAllFields().forEach((field, value) -> {
      FieldDescriptor into = to.getDescriptorForType().findFieldByName(field.getName());
      if (into == null || !typeOf(into).equals(typeOf(field))) {
        return;
      }
      if (!field.isMapField()) {
        to.setField(into, value);
        return;
      }
      // The entries of two maps are of two message types with the same two fields.
      for (Object entry : (List<?>) value) {
        Message.Builder made = to.newBuilderForField(into);
        ((Message) entry).getAllFields().forEach((part, v) -> made.setField(made.getDescriptorForType().findFieldByName(part.getName()), v));
        to.addRepeatedField(into, made.build());
      }
    });
  }

  private static String typeOf(FieldDescriptor field) {
    if (field.isMapField()) {
      var entry = field.getMessageType();
      return "map of " + typeOf(entry.findFieldByName("key")) + " to " + typeOf(entry.findFieldByName("value"));
    }
    return field.isRepeated() + " " + field.getType() + (field.getType() == FieldDescriptor.Type.MESSAGE ? field.getMessageType().getFullName() : "");
  }
}
