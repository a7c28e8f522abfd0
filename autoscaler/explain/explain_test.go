package explain_test

import (
	"encoding/json"
	"net/http/httptest"
	"testing"

	"github.com/joinery/joinery/autoscaler/explain"
)

func TestRingKeepsTheNewestFirst(t *testing.T) {
	for _, tt := range []struct {
		size, add int
		want      []int
	}{
		{3, 0, nil},
		{3, 2, []int{2, 1}},
		{3, 3, []int{3, 2, 1}},
		{3, 5, []int{5, 4, 3}},
		{3, 7, []int{7, 6, 5}},
		{0, 2, []int{2}},
	} {
		r := explain.NewRing(tt.size)
		for i := range tt.add {
			r.Add(explain.Decision{Pending: i + 1})
		}
		got := r.Decisions()
		if len(got) != len(tt.want) {
			t.Errorf("size %d, %d added: %d kept, want %d", tt.size, tt.add, len(got), len(tt.want))
			continue
		}
		for i, want := range tt.want {
			if got[i].Pending != want {
				t.Errorf("size %d, %d added: place %d holds %d, want %d", tt.size, tt.add, i, got[i].Pending, want)
			}
		}
	}
}

func TestRingServesJSON(t *testing.T) {
	r := explain.NewRing(2)
	r.Add(explain.Decision{Wake: "pods", Unhelped: []explain.Subject{{Name: "default/huge", Reason: "workers: Insufficient cpu"}}})
	w := httptest.NewRecorder()
	r.ServeHTTP(w, httptest.NewRequest("GET", "/debug/decisions", nil))
	var got []explain.Decision
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || len(got[0].Unhelped) != 1 || got[0].Unhelped[0].Name != "default/huge" {
		t.Errorf("got %+v", got)
	}
}
