package broker

import (
	"context"
	"fmt"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/service/dashboard"
	"github.com/merakibroker/merakibroker/service/fault"
)

// mostPages bounds a list: a million rows.
const mostPages = 1000

// Page is the call of the page that a link of this call's answer leads to. The link
// has to be one to the same path: what a caller may do, and whose budget pays, was
// decided by it. The error is a *fault.Error; a list must not end there as if it were
// whole.
func (c *Call) Page(to *dashboard.Link) (*Call, error) {
	refusal := to.Refusal
	if refusal == "" && to.Path != c.Path {
		refusal = "leads to another path"
	}
	if refusal != "" {
		return nil, &fault.Error{
			Kind: fault.Malformed, Reason: "NEXT_PAGE_REFUSED", Operation: c.Operation.GetId(), NoRetry: true,
			Detail: fmt.Sprintf("the Dashboard's link to the next page %s, and was not followed; the list has more than the pages before it", refusal),
		}
	}
	page := *c
	page.Host, page.Path, page.Query = to.Host, to.Path, to.Query
	return &page, nil
}

// Pages makes a read, and then reads one page after the other that follows its
// answer. each is given the call of a page and the answer; an error of its ends the
// reading. An operation that pages backward in time gives its newest page alone:
// what lies before it has no end. The error is a *fault.Error or that of each.
func (b *Broker) Pages(ctx context.Context, c *Call, each func(*Call, *Answer) error) error {
	seen := make(map[string]bool) // by query: the path is the same
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
		seen[c.Query] = true
		next, err := c.Page(a.Next)
		switch {
		case err != nil:
			return err
		case next.Query == c.Query:
			return nil // some operations name the last page as the one after it
		case seen[next.Query]:
			return &fault.Error{
				Kind: fault.Malformed, Reason: "PAGES_IN_A_CIRCLE", Operation: c.Operation.GetId(), NoRetry: true,
				Detail: fmt.Sprintf("the Dashboard's link to page %d leads back to an earlier page; whether the pages before it are all cannot be told", len(seen)+1),
			}
		}
		c = next
	}
	return &fault.Error{
		Kind: fault.TooLarge, Operation: c.Operation.GetId(), NoRetry: true,
		Detail: fmt.Sprintf("the list has more than %d pages; ask for larger pages, or for a part of the list", mostPages),
	}
}
