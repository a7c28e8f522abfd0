package price_test

import (
	"math"
	"strings"
	"testing"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/autoscaler/price"
)

func TestDefaultKnowsCommonTypes(t *testing.T) {
	for name, want := range map[string]float64{"t3.medium": 0.0416, "m5.large": 0.096, "c7i.large": 0.08925, "r6g.xlarge": 0.2016, "g5.xlarge": 1.006} {
		if got, ok := price.Default().Price(name); !ok || math.Abs(got-want) > 1e-9 {
			t.Errorf("%s costs %v %v, want %v", name, got, ok, want)
		}
	}
	if got, ok := price.Default().Price("z9.huge"); ok {
		t.Errorf("an unknown type costs %v", got)
	}
}

func TestNoTableKnowsNothing(t *testing.T) {
	var none *price.Table
	if usd, ok := none.Price("m5.large"); ok || usd != 0 {
		t.Errorf("got %v %v", usd, ok)
	}
}

func TestMeanNeedsEveryPrice(t *testing.T) {
	table, err := price.Read(strings.NewReader("# ours\n\ninstanceType,usdPerHour\nm5.large, 0.1\r\nm5.xlarge,0.3\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		types []string
		want  float64
	}{
		{nil, 0}, {[]string{"m5.large"}, 0.1}, {[]string{"m5.large", "m5.xlarge"}, 0.2}, {[]string{"m5.large", "z9.huge"}, 0},
	} {
		if got := table.Mean(tt.types); math.Abs(got-tt.want) > 1e-9 {
			t.Errorf("mean of %v is %v, want %v", tt.types, got, tt.want)
		}
	}
}

func TestReadNamesEveryProblem(t *testing.T) {
	_, err := price.Read(strings.NewReader("type;price\nm5.large,-1\nm5.xlarge,NaN\nc5.large,1e300\nc5.xlarge,0.1\nc5.xlarge,0.2\nlarge,0.1\nr5.large\nr5.xlarge,1,2\nr5.2xlarge,0\n"))
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		`line 1: "type;price": expected the header "instanceType,usdPerHour"`,
		`line 2: usdPerHour of m5.large: "-1": expected US dollars an hour`,
		`line 3: usdPerHour of m5.xlarge: "NaN"`,
		`line 4: usdPerHour of c5.large: "1e300"`,
		`line 6: instanceType: c5.xlarge is there twice`,
		`line 7: instanceType: "large": expected a name such as m5.large`,
		`line 8: "r5.large": expected an instance type and a price`,
		`line 9: "r5.xlarge,1,2": expected`,
		`line 10: usdPerHour of r5.2xlarge: "0"`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error does not say %s:\n%v", want, err)
		}
	}
	for text, want := range map[string]string{"": "empty", "# nothing\n": "empty", strings.Repeat("#\n", 1<<20): "bytes"} {
		if _, err := price.Read(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%d bytes: error %v, want %s", len(text), err, want)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add("instanceType,usdPerHour\nm5.large,0.096\n")
	f.Add("instanceType,usdPerHour\nm5.large,Inf\nm5.large,0x1p-2\n")
	f.Fuzz(func(t *testing.T, text string) {
		table, err := price.Read(strings.NewReader(text))
		if err != nil {
			return
		}
		for line := range strings.Lines(text) {
			name, _, _ := strings.Cut(strings.TrimSpace(line), ",")
			if usd, ok := table.Price(name); ok && !(usd > 0 && usd <= v1alpha1.MaxPrice) {
				t.Errorf("%s costs %v", name, usd)
			}
		}
	})
}
