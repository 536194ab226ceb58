import type pg from 'pg';
import type { ChaosCluster } from './chaos-cluster.ts';
import { connected, createChaosDatabase } from './chaos-database.ts';
import { type KillerTally, runKiller } from './chaos-killer.ts';
import { type PollerTally, runPoller } from './chaos-poller.ts';
import { type ChaosVerdict, chaosVerdict } from './chaos-verdict.ts';
import { emptyWriterTally, runWriter, type WriterTally } from './chaos-writer.ts';
import { drainTheRest } from './drain-the-rest.ts';
import { moveClock } from './moved-clock.ts';
import { emptyOracle } from './oracle.ts';
import { seededRandom } from './seeded-random.ts';
import { emptySurprises } from './surprises.ts';

export interface ChaosOptions {
  readonly cluster: ChaosCluster;
  readonly seed: number;
  /** Writers stop once so many events are committed. */
  readonly events: number;
  /** How often the postmaster is killed, evenly over the events. */
  readonly crashes: number;
  /** `moved` unless said otherwise. */
  readonly clock?: 'moved' | 'left alone';
  /** Changes the worker before it starts. */
  readonly change?: (client: pg.Client) => Promise<void>;
  readonly progress?: (line: string) => void;
}

export interface ChaosReport {
  readonly seed: number;
  readonly events: number;
  readonly writers: WriterTally;
  readonly pollers: PollerTally;
  readonly killer: KillerTally;
  readonly clockSetBack: number;
  /** Errors by SQLSTATE: those that the chaos explains, and the others. */
  readonly expectedErrors: Readonly<Record<string, number>>;
  readonly unexpectedErrors: Readonly<Record<string, number>>;
  readonly verdict: ChaosVerdict;
  /** Of writing, of writing and draining, of everything. */
  readonly seconds: { readonly writing: number; readonly routing: number; readonly all: number };
}

const WRITERS = 14;
const POLLERS = 5;

function names(role: string, count: number): [string, ...string[]] {
  const [first, ...others] = Array.from({ length: count }, (_, place) => `${role} ${place + 1}`);
  return [first ?? role, ...others];
}

/** Writers, pollers, killer and clock at once on a database of its own; then a drain, and the oracle's verdict. */
export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  const { cluster, seed, events, crashes, progress } = options;
  const startedAt = performance.now();
  const seconds = () => Math.round((performance.now() - startedAt) / 100) / 10;
  const url = await createChaosDatabase(cluster, `chaos_${seed}_${Date.now()}`, options.change);
  const random = seededRandom(seed);
  const oracle = emptyOracle();
  const surprises = emptySurprises();
  const writerTally = emptyWriterTally();
  const pollerTally: PollerTally = { runs: 0, busy: 0, undone: 0 };
  const failure = new AbortController();
  const enough = () => oracle.ids.length >= events || failure.signal.aborted;
  let writing = true;
  const over = () => !writing || failure.signal.aborted;

  const shared = { url, surprises };
  const writers = names('chaos writer', WRITERS).map((name) =>
    runWriter({ ...shared, name, random: random.stream(name), oracle, tally: writerTally, isOver: enough }),
  );
  const pollers = names('chaos poller', POLLERS).map((name) =>
    runPoller({ ...shared, name, random: random.stream(name), tally: pollerTally, isOver: over }),
  );
  let crashesDue = 1;
  const killer = runKiller({
    url,
    random: random.stream('killer'),
    prey: [
      { names: names('chaos writer', WRITERS), done: () => writerTally.transactions, every: [8, 30] },
      { names: names('chaos poller', POLLERS), done: () => pollerTally.runs, every: [1, 4] },
    ],
    crash: cluster.crash,
    isCrashDue() {
      const isDue = crashesDue <= crashes && oracle.ids.length >= (events * crashesDue) / (crashes + 1);
      if (isDue) crashesDue += 1;
      return isDue;
    },
    isOver: over,
  });
  const clock =
    options.clock === 'left alone'
      ? Promise.resolve({ setBack: 0 })
      : moveClock(url, random.stream('clock'), over);
  const reporter = setInterval(
    () => progress?.(`${seconds()} s: ${oracle.ids.length} events committed, ${pollerTally.runs} runs`),
    5_000,
  );

  const all = [...writers, ...pollers, killer, clock];
  for (const one of all) one.catch((error) => failure.abort(error));
  try {
    await Promise.allSettled(writers);
    const writingEndedAt = seconds();
    writing = false;
    await Promise.allSettled(all);
    failure.signal.throwIfAborted();
    await drainTheRest(url);
    const routedAt = seconds();
    const verdict = await connected(url(), (client) => chaosVerdict(client, oracle));
    return {
      seed,
      events: oracle.ids.length,
      writers: writerTally,
      pollers: pollerTally,
      killer: await killer,
      clockSetBack: (await clock).setBack,
      expectedErrors: Object.fromEntries(surprises.expected),
      unexpectedErrors: Object.fromEntries(surprises.unexpected),
      verdict,
      seconds: { writing: writingEndedAt, routing: routedAt, all: seconds() },
    };
  } finally {
    clearInterval(reporter);
  }
}
