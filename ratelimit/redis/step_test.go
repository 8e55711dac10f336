package redis

import (
	"errors"
	"testing"
	"time"

	"github.com/merakibroker/merakibroker/ratelimit"
)

var threeOfA = ratelimit.Ask{
	Budget: organization, Most: 4,
	Waiting: []ratelimit.Waiting{
		{Class: ratelimit.Class{Caller: "a"}, Count: 3},
		{Class: ratelimit.Class{Caller: "b"}, Count: 1},
	},
}

func numbers(all ...int64) []any {
	reply := make([]any, len(all))
	for i, n := range all {
		reply[i] = n
	}
	return reply
}

func TestDecode(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		reply any
		slots int // -1 for nonsense
	}{
		"nothing granted":             {numbers(100000, 10e6, 0, 0, 1, 0, 9), 0},
		"three granted":               {numbers(-1, 10e6, 5e6, 0, 1, 3, 9, 1, 2, 1), 3},
		"with the order of the queue": {numbers(-1, 10e6, 5e6, 0, 1, 1, 9, 2, 7e6, 7e6, 8e6), 1},
		"the order of fewer classes":  {numbers(-1, 10e6, 5e6, 0, 1, 1, 9, 2, 7e6, 7e6), -1},
		"the order of more classes":   {numbers(-1, 10e6, 5e6, 0, 1, 1, 9, 2, 7e6, 7e6, 7e6, 7e6), -1},
		"fewer slots than it says":    {numbers(-1, 10e6, 5e6, 0, 1, 4, 9, 1, 2, 1), -1},
		"a number of slots below 0":   {numbers(-1, 10e6, 5e6, 0, 1, -1, 9, 1), -1},
		"a debt of tokens":            {numbers(-1, 10e6, -5e6, 0, 1, 0, 9), 0},
		"no answer":                   {nil, -1},
		"a word":                      {"OK", -1},
		"a number":                    {int64(7), -1},
		"too short":                   {[]any{int64(1), int64(1)}, -1},
		"a word among them":           {[]any{int64(-1), int64(10e6), "x", int64(0), int64(1), int64(0), int64(9)}, -1},
		"a list in it":                {[]any{int64(-1), []any{}, int64(0), int64(0), int64(1), int64(0), int64(9)}, -1},
		"again before":                {numbers(-2, 10e6, 0, 0, 1, 0, 9), -1},
		"again in a year":             {numbers(365*86400e6, 10e6, 0, 0, 1, 0, 9), -1},
		"a rate below 0":              {numbers(-1, -1, 0, 0, 1, 0, 9), -1},
		"stopped for ever":            {numbers(-1, 1, 0, 1<<62, 1, 0, 9), -1},
		"class 0":                     {numbers(-1, 1, 0, 0, 1, 1, 9, 0), -1},
		"class 3 of 2":                {numbers(-1, 1, 0, 0, 1, 1, 9, 3), -1},
		"b twice":                     {numbers(-1, 1, 0, 0, 1, 2, 9, 2, 2), -1},
		"more than most":              {numbers(-1, 1, 0, 0, 1, 5, 9, 1, 1, 1, 2, 1), -1},
	} {
		a, err := decode(c.reply)
		var classes []ratelimit.Class
		if err == nil {
			classes, err = a.classes(threeOfA)
		}
		switch {
		case c.slots < 0 && !errors.Is(err, errNonsense):
			t.Errorf("%s: %v, want it to be nonsense", name, err)
		case c.slots >= 0 && (err != nil || len(classes) != c.slots):
			t.Errorf("%s: %d slots, %v", name, len(classes), err)
		}
	}
}

// FuzzDecode: whatever the numbers are, an answer that is believed keeps to the ask.
func FuzzDecode(f *testing.F) {
	f.Add(int64(-1), int64(10e6), int64(0), int64(0), int64(3), []byte{1, 2, 1})
	f.Fuzz(func(t *testing.T, again, rate, tokens, stopped, count int64, slots []byte) {
		reply := []any{again, rate, tokens, stopped, int64(1), count, int64(9)}
		for _, s := range slots {
			reply = append(reply, int64(int8(s)))
		}
		a, err := decode(reply)
		if err != nil {
			return
		}
		classes, err := a.classes(threeOfA)
		if err != nil {
			return
		}
		if len(classes) > threeOfA.Most || a.again < -1*time.Microsecond || a.stopped < 0 {
			t.Errorf("believed: %+v", a)
		}
		if s := a.state(time.Unix(0, 0), organization, 3); s.Tokens < 0 || s.Rate < 0 {
			t.Errorf("state %+v", s)
		}
	})
}

func TestConfig(t *testing.T) {
	t.Parallel()
	client := connect(t, "127.0.0.1:1", 0)
	defer func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	}()
	for name, c := range map[string]Config{
		"no connections":   {Replicas: 1},
		"no replicas":      {Client: client},
		"negative timeout": {Client: client, Replicas: 1, Timeout: -1},
	} {
		if s, err := New(t.Context(), c); err == nil {
			t.Errorf("%s: accepted", name)
			_ = s.Close()
		}
	}
	c := Config{Client: client, Replicas: 1}
	if err := c.check(); err != nil || c.Timeout != 50*time.Millisecond || c.Prefix == "" {
		t.Errorf("%+v, %v", c, err)
	}
}
