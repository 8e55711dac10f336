// Package transcode stands between protobuf wire and what the Dashboard speaks:
// a request message becomes path, query and JSON body, a JSON answer becomes a
// response message. A Plan does it for one RPC, compiled once from descriptors;
// afterwards wire and JSON are read once and written once, with no message
// objects and no reflection in between.
//
// The mapping is our own and not protojson: 64-bit integers are JSON numbers,
// null and the empty list are told from what is absent by null_fields and
// empty_fields, and an answer that differs from the contract is read as far as
// nothing is lost, with each difference (a drift) reported.
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
//	an empty body                                    | {}
//	the whole body is one field, and it is absent    | refused, unless a mask names it
//
// What an answer can hold, and what comes of it. "Malformed" is a fault with
// the position, and no part of the answer is used; "converted", "left out" and
// "unknown" are drifts, and the call succeeds:
//
//	an answer holds                                               | outcome
//	an empty body, or only white space                            | the empty message (204)
//	null as document, field, value in a map                       | absent
//	null in a list                                                | left out; kept in a list of free values
//	a key that the contract does not have                         | unknown, with all that is in it
//	a number or boolean for a string                              | converted: its own characters
//	a string for a number                                         | converted if it is a JSON number; else left out
//	a string for a boolean                                        | converted if it is "true" or "false"; else left out
//	a number with a point or exponent for an integer              | converted if it is whole; else left out
//	an integer beyond 64 bits                                     | left out
//	an integer that a double would change                         | left out; in a free value converted to a string
//	1e400                                                         | left out; in a free value converted to a string
//	  (and 1e-400 in a double is 0, the nearest)                  |
//	-0                                                            | -0 as a double, 0 as an integer
//	a number of very many digits                                  | read exactly as an integer; over 2048 characters left out as a double
//	a date-time                                                   | RFC 3339; a space for T, no zone (UTC), "UTC" and +0000 are read, too;
//	  (more than nine digits of a second are cut: converted)      |
//	another text, or a number, for a date-time                    | left out: a number could be seconds or milliseconds
//	one element where a list is expected                          | converted to a list of one
//	an object or list where a scalar is expected, and the reverse | left out
//	one object as document where a list is                        | converted to a list of one
//	a list as document where an object with items is              | converted: it is items
//	any other document of another kind                            | left out; the path is $
//	a key that stands twice                                       | the last one; the first is left out
//	a key that stands twice in a map or a free value              | the last one, in a map the last that is not null
//	a lone surrogate                                              | converted to U+FFFD
//	a byte that is not UTF-8                                      | converted to U+FFFD
//	NUL                                                           | kept when escaped; malformed when not
//	deep nesting                                                  | malformed from 201 objects and lists on
//	a string of 100 MB                                            | copied once, into the wire
//	text that is not JSON, that breaks off, or goes on            | malformed
//
// Readers of protobuf in other languages stop at 100 messages inside each
// other; a free value takes three for an object and two for a list.
package transcode
