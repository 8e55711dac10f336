package broker

import (
	"context"
	"fmt"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/service/fault"
)

// mostPages bounds a list: a million rows.
const mostPages = 1000

// Pages makes a read, and then reads one page after the other that follows its
// answer. each is given the call of a page and the answer; an error of its ends the
// reading. An operation that pages backward in time gives its newest page alone:
// what lies before it has no end. The error is a *fault.Error or that of each.
func (b *Broker) Pages(ctx context.Context, c *Call, each func(*Call, *Answer) error) error {
	type place struct{ path, query string }
	seen := make(map[place]bool)
	for range mostPages {
		a, err := b.Do(ctx, c)
		if err != nil {
			return err
		}
		if err := each(c, a); err != nil {
			return err
		}
		if a.Next == nil || c.Operation.GetPaging().GetStyle() == apiv1.PagingStyle_PAGING_STYLE_LINK_BACKWARD {
			return nil
		}
		seen[place{c.Path, c.Query}] = true
		to := place{a.Next.Path, a.Next.Query}
		switch {
		case to == place{c.Path, c.Query}:
			return nil // some operations name the last page as the one after it
		case seen[to]:
			return &fault.Error{
				Kind: fault.Malformed, Reason: "PAGES_IN_A_CIRCLE", Operation: c.Operation.GetId(), NoRetry: true,
				Detail: fmt.Sprintf("the Dashboard's link to page %d leads back to an earlier page; whether the pages before it are all cannot be told", len(seen)+1),
			}
		}
		next := *c
		next.Host, next.Path, next.Query = a.Next.Host, a.Next.Path, a.Next.Query
		c = &next
	}
	return &fault.Error{
		Kind: fault.TooLarge, Operation: c.Operation.GetId(), NoRetry: true,
		Detail: fmt.Sprintf("the list has more than %d pages; ask for larger pages, or for a part of the list", mostPages),
	}
}
