// Package transcode stands between protobuf wire and what the Dashboard speaks:
// a request message becomes path, query and JSON body, a JSON answer becomes a
// response message. A Plan does it for one RPC, compiled once from descriptors;
// afterwards wire and JSON are read once and written once, with no message
// objects and no reflection in between.
//
// The mapping is our own and not protojson: 64-bit integers are JSON numbers,
// null and the empty list are told from what is absent by null_fields and
// empty_fields, and nothing is lost: what a message has no field for stands in
// its additional_properties, in answers and in requests. Each way in which an
// answer differs from the contract (a drift) is reported.
//
// What a request can hold, and what comes of it. "Refused" is a BadRequest
// fault that names the field, with nothing sent:
//
//	a request holds                                  | outcome
//	a field that this contract does not have         | refused: a newer client means something by it
//	a parameter of the path missing, empty, "." ".." | refused
//	any other text in the path or query              | escaped, slashes too; comes back as it was
//	text that is not UTF-8                           | refused
//	NaN or an infinity                               | refused
//	a timestamp out of the years 1 to 9999           | refused
//	a free value without a kind                      | refused
//	wire that breaks off, or another wire type       | refused
//	more than 100 messages inside each other         | refused
//	a singular field that stands twice               | the last one, and the first is not looked at; messages are merged
//	a list packed, not packed, or both               | one list
//	a key of a map that stands twice                 | the last one
//	a mask that names nothing, or what has a value   | refused
//	a mask that names a place inside what is absent  | the objects around it are made
//	an empty body                                    | {}; refused in the update of a list, which was to be emptied
//	a list that the document requires is empty       | refused, unless a mask or an additional property names it
//	the whole body is one field, and it is absent    | refused, unless a mask names it
//	additional properties                            | members of their object, behind the fields; null, [] and {} too
//	only _json, which is no object                   | that value is the body
//	an additional property that has a value already  | refused: in its field, by a mask, in the path
//	additional properties in a query                 | refused, and so in every GET and DELETE
//	a body of more than 16 MiB                       | refused
//	a retired field                                  | sent as its property
//	a retired field and the newer one of its property | sent once when they say the same; else refused
//	a retired field that has no place any more       | refused
//
// What an answer can hold, and what comes of it. "Kept" is a property whose
// field is absent and that stands in the additional_properties of its object as
// it came; the field and they never hold the same property. "Malformed" is a
// fault with the position, and no part of the answer is used. "Converted" is a
// drift, and so is "kept", but for empty lists and maps:
//
//	an answer holds                                               | outcome
//	an empty body, or only white space                            | the empty message (204)
//	null as a property                                            | absent
//	null in a list, or as a value in a map                        | the whole list or map is kept; one of free values has it
//	a key that the contract does not have                         | kept, with all that is in it
//	[] or {} in an element of a list or a value of a map          | kept: the wire has no empty list; elsewhere absent
//	a number or boolean for a string                              | converted: its own characters
//	a string for a number                                         | converted if the number would be written just so; else kept
//	a string for a boolean                                        | converted if it is "true" or "false"; else kept
//	a number with a point or exponent for an integer              | converted if it is whole; else kept
//	an integer beyond 64 bits                                     | kept
//	a number that a double would change                           | kept, as a string of its digits; in a free value that string
//	1e400, and 1e-400                                             | the same
//	-0                                                            | -0 as a double, 0 as an integer
//	a number of very many digits                                  | read exactly as an integer; over 2048 characters kept for a double
//	a date-time                                                   | RFC 3339; a space for T, no zone (UTC), "UTC" and +0000 are read, too
//	"" for a date-time                                            | absent
//	another text, or a number, for a date-time                    | kept: a number could be seconds or milliseconds
//	one element where a list is expected                          | kept
//	an object or list where a scalar is expected, and the reverse | kept
//	an element of another kind in a list                          | the whole list is kept
//	an odd property in an element of a list                       | kept in that element
//	an object as document where a list is                         | its items are the rows; the rest is kept; additional_properties is there
//	  (with errors and no items: a fault of its own, never rows)  |
//	  (the same in a read of an object with items)                |
//	a list as document where an object with items is              | converted: it is items; additional_properties is there
//	any other document of another kind                            | kept: an object's properties; anything else, and null, as _json
//	a document that one field had before it was described         | in that field, too, where it fits
//	an object for a free field that has others beside it          | in both; a key without a field is no drift
//	a key that stands twice                                       | the last one; the first is left out
//	a key that stands twice in a map or a free value              | the last one
//	a lone surrogate                                              | converted to U+FFFD
//	a byte that is not UTF-8                                      | converted to U+FFFD
//	a value for a retired field                                   | in each field of the property that it fits; kept when it fits none
//	NUL                                                           | as it is when escaped; malformed when not
//	deep nesting                                                  | in free values its JSON as text, from 90 messages on; malformed from 201 on
//	a string of 100 MB                                            | copied once, into the wire
//	text that is not JSON, that breaks off, or goes on            | malformed
//
// Readers of protobuf in other languages stop at 100 messages inside each
// other; a free value takes three for an object and two for a list.
package transcode
