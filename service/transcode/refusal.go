package transcode

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/merakibroker/merakibroker/service/fault"
)

// fail notes what is wrong, at the place that the callers will name.
func (w *writer) fail(format string, args ...any) bool {
	w.err = fault.Bad("", format, args...)
	return false
}

// in puts the name of the field that the failure is in before its path.
func (w *writer) in(name string) bool {
	if w.named {
		return false
	}
	if w.err.Field != "" && w.err.Field[0] != '[' {
		name += "."
	}
	w.err.Field = name + w.err.Field
	return false
}

// at does the same with the index in a list.
func (w *writer) at(index int) bool {
	return w.in("[" + strconv.Itoa(index) + "]")
}

// maxShown bounds what a fault repeats of the caller's own names.
const maxShown = 1024

// shown is a caller's text as it can stand in a fault: short, and UTF-8, as a
// status is.
func shown(text string) string {
	if len(text) > maxShown {
		text = text[:maxShown] + "..."
	}
	return strings.ToValidUTF8(text, string(utf8.RuneError))
}

// fault is the failure as the caller gets it.
func (w *writer) fault(p *Plan) *fault.Error {
	w.err.Operation, w.err.Field = p.operation, shown(w.err.Field)
	if w.err.Field != "" {
		w.err.Detail = w.err.Field + ": " + w.err.Detail
	}
	return w.err
}

func (w *writer) broken() bool {
	return w.fail("the request is not protobuf: a record breaks off or has no known type; nothing was sent")
}

func (w *writer) tooLong() bool {
	return w.fail("the body would be longer than %d bytes; nothing was sent", w.bound)
}

func (w *writer) wrongType(tag uint64) bool {
	return w.fail("wire type %d is not that of the contract's field; nothing was sent", tag&7)
}

// strange refuses a field number. Of a contract from which nothing is ever
// removed this says which side is older.
func (w *writer) strange(number uint64) bool {
	w.fail("this broker's contract has no field with the number %d here: the client was built from a newer contract, or from another one; update the broker, or leave the field out; nothing was sent", number)
	return w.in(strconv.FormatUint(number, 10))
}

// declaredOnly refuses additional properties where there is no body for them.
func (w *writer) declaredOnly() bool {
	w.fail("a query takes only what the contract declares; BrokerService.Call takes the rest; nothing was sent")
	return w.in(additionalName)
}
