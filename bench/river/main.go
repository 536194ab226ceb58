// Command river lets River handle events, for `npm run bench -- drain`.
//
//	river fill            adds one job for each line of JSON that it reads
//	river work <events>   works them all and prints {"seconds":…}
//
// The database is the one that DATABASE_URL names.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// River's own benchmark command works with these; its comments call them the fastest that were found.
const (
	fetchCooldown     = 2 * time.Millisecond
	fetchPollInterval = 20 * time.Millisecond
	maxWorkers        = 2_000
	insertBatch       = 5_000
)

// event is the payload as it came; River stores it as the job's arguments.
type event struct{ payload json.RawMessage }

func (event) Kind() string                   { return "event" }
func (e event) MarshalJSON() ([]byte, error) { return e.payload, nil }
func (e *event) UnmarshalJSON(text []byte) error {
	e.payload = append(e.payload[:0], text...)
	return nil
}

type eventWorker struct{ river.WorkerDefaults[event] }

func (*eventWorker) Work(context.Context, *river.Job[event]) error { return nil }

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	config, err := pgxpool.ParseConfig(os.Getenv("DATABASE_URL"))
	if err != nil {
		return err
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return err
	}
	defer pool.Close()
	switch {
	case len(args) == 1 && args[0] == "fill":
		return fill(ctx, pool)
	case len(args) == 2 && args[0] == "work":
		events, err := strconv.Atoi(args[1])
		if err != nil {
			return err
		}
		return work(ctx, pool, events)
	}
	return errors.New("usage: river fill | river work <events>")
}

func fill(ctx context.Context, pool *pgxpool.Pool) error {
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), nil)
	if err != nil {
		return err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return err
	}
	client, err := newClient(pool)
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(os.Stdin)
	batch := make([]river.InsertManyParams, 0, insertBatch)
	for lines.Scan() {
		batch = append(batch, river.InsertManyParams{Args: event{append(json.RawMessage(nil), lines.Bytes()...)}})
		if len(batch) == insertBatch {
			if _, err := client.InsertMany(ctx, batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
	}
	if len(batch) > 0 {
		if _, err := client.InsertMany(ctx, batch); err != nil {
			return err
		}
	}
	return lines.Err()
}

func work(ctx context.Context, pool *pgxpool.Pool, events int) error {
	client, err := newClient(pool)
	if err != nil {
		return err
	}
	// A job is counted once the completer has written it, not when its worker returned.
	ended, cancel := client.SubscribeConfig(&river.SubscribeConfig{
		ChanSize: events,
		Kinds:    []river.EventKind{river.EventKindJobCompleted, river.EventKindJobFailed, river.EventKindJobCancelled},
	})
	defer cancel()
	if err := pool.Ping(ctx); err != nil {
		return err
	}
	startedAt := time.Now()
	if err := client.Start(ctx); err != nil {
		return err
	}
	for left := events; left > 0; left-- {
		select {
		case one := <-ended:
			if one.Kind != river.EventKindJobCompleted {
				return fmt.Errorf("job %d ended as %s", one.Job.ID, one.Kind)
			}
		case <-time.After(time.Minute):
			return fmt.Errorf("no job ended for a minute, with %d left", left)
		}
	}
	seconds := time.Since(startedAt).Seconds()
	if err := client.Stop(ctx); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]float64{"seconds": seconds})
}

func newClient(pool *pgxpool.Pool) (*river.Client[pgx.Tx], error) {
	workers := river.NewWorkers()
	river.AddWorker(workers, &eventWorker{})
	return river.NewClient(riverpgxv5.New(pool), &river.Config{
		FetchCooldown:     fetchCooldown,
		FetchPollInterval: fetchPollInterval,
		Logger:            slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
		Queues:            map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: maxWorkers}},
		Workers:           workers,
	})
}
