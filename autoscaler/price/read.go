package price

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/joinery/joinery/api/v1alpha1"
)

const (
	// header is the first line of a price file that is no comment.
	header = "instanceType,usdPerHour"
	// maxFile bounds what is read, in bytes: EC2 has about a thousand types.
	maxFile = 1 << 20
)

// typeName is the shape of an instance type's name: family, dot, size.
var typeName = regexp.MustCompile(`^[a-z0-9-]{1,32}\.[a-z0-9-]{1,32}$`)

// Read reads a price file: CSV without quotes, with the header
// instanceType,usdPerHour and one type in each line after it. Empty lines and
// lines that begin with # are skipped. The prices are of the region in which the
// cluster is. The error names every line that is wrong, with what was expected.
func Read(r io.Reader) (*Table, error) {
	t := &Table{usd: map[string]float64{}}
	input := &io.LimitedReader{R: r, N: maxFile + 1}
	lines := bufio.NewScanner(input)
	lines.Buffer(nil, maxFile+1)
	var errs []error
	number, headed := 0, false
	for lines.Scan() {
		number++
		text := strings.TrimSpace(lines.Text())
		switch {
		case text == "" || text[0] == '#':
		case !headed:
			headed = true
			if text != header {
				errs = append(errs, fmt.Errorf("line %d: %q: expected the header %q", number, text, header))
			}
		default:
			if err := t.add(text); err != nil {
				errs = append(errs, fmt.Errorf("line %d: %w", number, err))
			}
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if input.N <= 0 {
		return nil, fmt.Errorf("more than %d bytes", maxFile)
	}
	if !headed {
		errs = append(errs, fmt.Errorf("empty: expected the header %q", header))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return t, nil
}

// add takes one line of type and price.
func (t *Table) add(line string) error {
	name, number, ok := strings.Cut(line, ",")
	if !ok || strings.Contains(number, ",") {
		return fmt.Errorf("%q: expected an instance type and a price, separated by a comma", line)
	}
	name = strings.TrimSpace(name)
	if !typeName.MatchString(name) {
		return fmt.Errorf("instanceType: %q: expected a name such as m5.large", name)
	}
	usd, err := Parse(strings.TrimSpace(number))
	if err != nil {
		return fmt.Errorf("usdPerHour of %s: %w", name, err)
	}
	if _, twice := t.usd[name]; twice {
		return fmt.Errorf("instanceType: %s is there twice", name)
	}
	t.usd[name] = usd
	return nil
}

// Parse reads one price in US dollars an hour. It is above 0, which stands for a
// price that is not known, and at most v1alpha1.MaxPrice.
func Parse(text string) (float64, error) {
	usd, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(usd) || usd <= 0 || usd > v1alpha1.MaxPrice {
		return 0, fmt.Errorf("%q: expected US dollars an hour, above 0 and at most %d", text, v1alpha1.MaxPrice)
	}
	return usd, nil
}
