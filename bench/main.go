// Command bench measures Joinery's planners, and the scheduler of Karpenter
// beside them in the same process, on the same generated workloads, and has both
// plans checked.
//
//	go run . [-smoke] [-rows regexp] [-out ../_out/bench.json]
//
// Ours counts from listed objects: taking the snapshot, grouping the pods and
// planning. Karpenter's state is set up before its clock starts, since its
// informers keep it; copying it, setting up and solving count. Every run of
// either side has fresh objects, follows a garbage collection and takes turns
// with the other side.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"regexp"
)

func main() {
	smoke := flag.Bool("smoke", false, "run small workloads once: are the plans right?")
	out := flag.String("out", "../_out/bench.json", "where the results go")
	only := flag.String("rows", "", "run the rows that match, such as ^plain/1000x")
	flag.Parse()
	if err := bench(*smoke, *only, *out); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func bench(smoke bool, only, out string) error {
	match, err := regexp.Compile(only)
	if err != nil {
		return fmt.Errorf("read -rows: %w", err)
	}
	rows, rounds := fullRows(), 0
	if smoke {
		rows, rounds = smokeRows(), 1
	}
	results, err := runAll(rows, match, rounds)
	if err != nil {
		return err
	}
	return errors.Join(writeTable(os.Stdout, results), writeJSON(out, results))
}

func runAll(rows []row, match *regexp.Regexp, rounds int) ([]Result, error) {
	var results []Result
	for _, r := range rows {
		if !match.MatchString(r.String()) {
			continue
		}
		fmt.Fprintln(os.Stderr, "bench:", r)
		result, err := run(r, rounds)
		if err != nil {
			return nil, err
		}
		results = append(results, result)
	}
	if len(results) == 0 {
		return nil, fmt.Errorf("read -rows: no row matches %s", match)
	}
	return results, nil
}
