package transcode

import "strconv"

// The range of google.protobuf.Timestamp: the years 1 to 9999.
const (
	minSeconds = -62135596800
	maxSeconds = 253402300799
)

// parseTime reads a point in time as the Dashboard writes it: RFC 3339, with
// what its operations make of it: a space for the T, no zone (it means UTC),
// "UTC" spelled out, an offset without the colon. A Timestamp holds nine digits
// of a second: with more, other than zeros, it is not ok.
func parseTime(b []byte) (seconds int64, nanos int32, ok bool) {
	// 2006-01-02T15:04:05
	if len(b) < 19 || b[4] != '-' || b[7] != '-' || b[13] != ':' || b[16] != ':' {
		return 0, 0, false
	}
	if c := b[10]; c != 'T' && c != 't' && c != ' ' {
		return 0, 0, false
	}
	century, ok1 := two(b, 0)
	years, ok2 := two(b, 2)
	month, ok3 := two(b, 5)
	day, ok4 := two(b, 8)
	hour, ok5 := two(b, 11)
	minute, ok6 := two(b, 14)
	second, ok7 := two(b, 17)
	if !(ok1 && ok2 && ok3 && ok4 && ok5 && ok6 && ok7) {
		return 0, 0, false
	}
	year := century*100 + years
	if month < 1 || month > 12 || day < 1 || day > monthDays(year, month) || hour > 23 || minute > 59 || second > 59 {
		return 0, 0, false
	}
	seconds = daysTo(year, month, day)*86400 + int64(hour*3600+minute*60+second)
	rest := b[19:]
	if len(rest) > 0 && rest[0] == '.' {
		end := digitsEnd(rest, 1)
		if end == 1 {
			return 0, 0, false
		}
		scale := int32(100_000_000)
		for _, c := range rest[1:end] {
			nanos += int32(c-'0') * scale
			if scale == 0 && c != '0' {
				return 0, 0, false
			}
			scale /= 10
		}
		rest = rest[end:]
	}
	offset, ok := parseZone(rest)
	seconds -= int64(offset)
	if !ok || seconds < minSeconds || seconds > maxSeconds {
		return 0, 0, false
	}
	return seconds, nanos, true
}

// parseZone reads what follows the time of day, as seconds east of UTC.
func parseZone(b []byte) (offset int, ok bool) {
	if len(b) > 1 && b[0] == ' ' {
		b = b[1:]
	}
	switch {
	case len(b) == 0:
		return 0, true
	case len(b) == 1:
		return 0, b[0]|0x20 == 'z'
	case len(b) == 3 && string(b) == "UTC":
		return 0, true
	case b[0] != '+' && b[0] != '-':
		return 0, false
	}
	at := 3
	switch {
	case len(b) == 6 && b[3] == ':':
		at = 4
	case len(b) != 5:
		return 0, false
	}
	hours, ok1 := two(b, 1)
	minutes, ok2 := two(b, at)
	if !ok1 || !ok2 || hours > 23 || minutes > 59 {
		return 0, false
	}
	offset = hours*3600 + minutes*60
	if b[0] == '-' {
		offset = -offset
	}
	return offset, true
}

func two(b []byte, i int) (int, bool) {
	tens, units := b[i]-'0', b[i+1]-'0'
	return int(tens)*10 + int(units), tens <= 9 && units <= 9
}

func monthDays(year, month int) int {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// daysTo counts days from 1970-01-01 in the Gregorian calendar. The year is
// taken to begin in March, so that the day that leap years add is its last.
func daysTo(year, month, day int) int64 {
	if month <= 2 {
		year--
		month += 12
	}
	// 153 days in each five months from March on; 719469 days from 0000-03-01 to 1970-01-01, and one because days count from 1.
	return int64(year*365+year/4-year/100+year/400+(153*(month-3)+2)/5+day) - 719469
}

// dateOf undoes daysTo. days is not before the year 1.
func dateOf(days int64) (year, month, day int) {
	n := int(days) + 719468
	era := n / 146097 // 400 years
	n -= era * 146097
	years := (n - n/1460 + n/36524 - n/146096) / 365
	n -= years*365 + years/4 - years/100
	m := (5*n + 2) / 153
	day = n - (153*m+2)/5 + 1
	year, month = era*400+years, m+3
	if month > 12 {
		year, month = year+1, month-12
	}
	return year, month, day
}

// appendTime writes RFC 3339 in UTC with as many digits of a second as needed:
// none, three, six or nine.
func appendTime(dst []byte, seconds int64, nanos int32) []byte {
	days := seconds / 86400
	rest := int(seconds % 86400)
	if rest < 0 {
		days, rest = days-1, rest+86400
	}
	year, month, day := dateOf(days)
	dst = appendTwo(appendTwo(dst, year/100), year%100)
	dst = appendTwo(append(dst, '-'), month)
	dst = appendTwo(append(dst, '-'), day)
	dst = appendTwo(append(dst, 'T'), rest/3600)
	dst = appendTwo(append(dst, ':'), rest/60%60)
	dst = appendTwo(append(dst, ':'), rest%60)
	if nanos != 0 {
		digits, value := 9, int64(nanos)
		for value%1000 == 0 {
			digits, value = digits-3, value/1000
		}
		at := len(dst)
		// A leading one keeps the zeros; the point takes its place.
		dst = strconv.AppendInt(dst, value+int64(pow10[digits]), 10)
		dst[at] = '.'
	}
	return append(dst, 'Z')
}

func appendTwo(dst []byte, v int) []byte {
	return append(dst, byte('0'+v/10), byte('0'+v%10))
}
