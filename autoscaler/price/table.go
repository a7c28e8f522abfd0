package price

import (
	_ "embed"
	"strings"
	"sync"
)

// Table holds hourly prices by instance type, of one region. The zero value and
// a nil *Table know no price. It never changes once it is made.
type Table struct {
	usd map[string]float64 // instance type -> US dollars an hour
}

// Price returns what an instance of the type costs in US dollars an hour; not ok
// when the table does not know the type.
func (t *Table) Price(instanceType string) (usdPerHour float64, ok bool) {
	if t == nil {
		return 0, false
	}
	usdPerHour, ok = t.usd[instanceType]
	return usdPerHour, ok
}

// Mean returns the mean price of the types; 0 when there is none or one of them
// is not known, since a mean of some would order groups by what is missing.
func (t *Table) Mean(instanceTypes []string) float64 {
	sum := 0.0
	for _, name := range instanceTypes {
		usd, ok := t.Price(name)
		if !ok {
			return 0
		}
		sum += usd
	}
	if len(instanceTypes) == 0 {
		return 0
	}
	return sum / float64(len(instanceTypes))
}

//go:embed default.csv
var defaults string

// Default returns the built-in table: common types at the list prices of
// us-east-1, dated in default.csv.
var Default = sync.OnceValue(func() *Table {
	t, err := Read(strings.NewReader(defaults))
	if err != nil {
		panic("built-in prices: " + err.Error()) // the tests read the same text
	}
	return t
})
