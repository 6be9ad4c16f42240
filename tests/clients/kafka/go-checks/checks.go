// Package checks runs the checks of a client program: one line a check, a time limit for each, exit code 1 if one failed.
package checks

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// Limit of a check: one that takes longer has failed.
const Limit = 60 * time.Second

var run = func() string {
	bytes := make([]byte, 4)
	_, _ = rand.Read(bytes)
	return hex.EncodeToString(bytes)
}()

// Name returns a name of this run for a topic, group or transactional id.
func Name(what string) string { return what + "-" + run }

// Address returns the only argument of the program.
func Address() string {
	if len(os.Args) != 2 {
		fmt.Fprintf(os.Stderr, "usage: %s HOST:PORT\n", os.Args[0])
		os.Exit(2)
	}
	return os.Args[1]
}

// Checks counts failures.
type Checks struct{ failures int }

// New prints the version with which the module was built.
func New(module string) *Checks {
	version := "?"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dependency := range info.Deps {
			if dependency.Path == module {
				version = dependency.Version
				if dependency.Replace != nil {
					version = dependency.Replace.Version
				}
			}
		}
	}
	fmt.Println("version", version)
	return &Checks{}
}

// Run prints "ok NAME", or "failed NAME: REASON". The context ends at the limit; a check that ignores it is left behind.
func (checks *Checks) Run(name string, check func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), Limit)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		defer func() {
			if panicked := recover(); panicked != nil {
				done <- fmt.Errorf("panic: %v\n%s", panicked, debug.Stack())
			}
		}()
		done <- check(ctx)
	}()
	var err error
	select {
	case err = <-done:
	case <-time.After(Limit + 5*time.Second):
		err = fmt.Errorf("not done within %v", Limit)
	}
	if err != nil {
		checks.failures++
		fmt.Printf("failed %s: %s\n", name, strings.Join(strings.Fields(err.Error()), " "))
		return
	}
	fmt.Println("ok", name)
}

// Exit ends the program.
func (checks *Checks) Exit() {
	if checks.failures > 0 {
		os.Exit(1)
	}
	os.Exit(0)
}

// Same fails unless both values are equal.
func Same[T comparable](what string, found, expected T) error {
	if found != expected {
		return fmt.Errorf("%s: expected %v, found %v", what, expected, found)
	}
	return nil
}

// SameValues fails unless both hold the same values in any order.
func SameValues(found, expected []string) error {
	left, right := slices.Sorted(slices.Values(found)), slices.Sorted(slices.Values(expected))
	if !slices.Equal(left, right) {
		return fmt.Errorf("expected %d values, found %d: %.300v", len(right), len(left), left)
	}
	return nil
}

// Until calls the condition until it holds, at most for thirty seconds.
func Until(ctx context.Context, what string, condition func() (bool, error)) error {
	deadline := time.Now().Add(30 * time.Second)
	for {
		held, err := condition()
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if held {
			return nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return fmt.Errorf("%s: not within 30 s", what)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// Values returns distinct values.
func Values(prefix string, count int) []string {
	values := make([]string, count)
	for number := range values {
		values[number] = fmt.Sprintf("%s %03d", prefix, number)
	}
	return values
}
