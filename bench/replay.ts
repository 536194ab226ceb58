import { loadavg } from 'node:os';
import { type Benchmark, median, medians, round } from './benchmark.ts';
import { deliveryContestant } from './delivery/delivery-contestant.ts';
import { bytesOf, type Measured, measureContestant } from './delivery/measure-contestant.ts';
import type { PostContestant } from './delivery/post-contestant.ts';
import { type Receiver, startReceiver } from './delivery/receiver.ts';
import type { Contestant } from './drain/contestant.ts';
import { type BenchServer, startServer } from './drain/start-server.ts';
import { bareContestant } from './replay/bare-contestant.ts';
import { drainingContestant } from './replay/draining-contestant.ts';
import { measureLetters } from './replay/measure-letters.ts';
import { measureMemory } from './replay/measure-memory.ts';
import { type ReplayOptions, readOptions } from './replay/options.ts';
import { pgBossFunctionContestant } from './replay/pg-boss-function-contestant.ts';
import { pgBossPostContestant } from './replay/pg-boss-post-contestant.ts';
import { prepareTemplates, type Templates } from './replay/prepare-templates.ts';
import { replayContestant, replayPostContestant } from './replay/replay-contestant.ts';

/** A contestant of one of the two fields, `sql.` or `http.`, as it is going to be measured. */
interface Entered {
  readonly name: string;
  /** What was tuned, and found out on the way. */
  readonly settings: () => Readonly<Record<string, string | number>>;
  readonly measure: () => Promise<Measured>;
  readonly measured: Measured[];
}

/**
 * Letters per second of a replay, on one durable server: of a function of the database, beside the drain of as many new
 * events of the same route, the bare rows, and pg-boss; and of an HTTP endpoint, beside as many first deliveries, and
 * pg-boss. Each starts from a fresh database and fails unless every letter has its effect once and is done in its own
 * tables. The order rotates by round.
 */
export async function run(): Promise<Benchmark> {
  const options = readOptions(process.argv.slice(2));
  const server = await startServer();
  const receiver = await startReceiver();
  try {
    if (options.isMemory) return await measureMemory(server, receiver, options);
    const load = loadavg()[0] ?? 0;
    const templates = await prepareTemplates(server, receiver, options.letters);
    const entered = await enter(server, receiver, templates, options);
    for (let one = 0; one < options.rounds; one += 1) {
      for (const { name, measure, measured } of rotated(entered, one)) {
        const figures = await measure();
        measured.push(figures);
        tell(`round ${one + 1}`, name, figures);
      }
    }
    const rounds = Array.from({ length: options.rounds }, (_, one) => ratesOf(entered, one));
    return {
      name: 'replay, letters per second',
      rounds,
      median: medians(rounds),
      ratios: medians(rounds.map(ratiosOf)),
      settings: {
        events: options.letters,
        bodyBytes: Math.round(bytesOf(templates.posts) / options.letters),
        loadAtStart: round(load),
        ...server.settings,
        ...Object.assign({}, ...entered.map(settingsOf)),
      },
    };
  } finally {
    await receiver.stop();
    await server.stop();
  }
}

/** Runs each contestant before the rounds, which warms it up; those that post, with each number of requests in flight. */
async function enter(
  server: BenchServer,
  receiver: Receiver,
  templates: Templates,
  { letters, batch, only, concurrency: tried }: ReplayOptions,
): Promise<Entered[]> {
  const isWanted = (field: string, { name }: { readonly name: string }) =>
    only.length === 0 || only.includes(field) || only.includes(`${field}.${name}`);
  const entered: Entered[] = [];
  const functions: readonly Contestant[] = [
    bareContestant(templates.sqlLetters, batch),
    drainingContestant(templates.sqlEvents),
    replayContestant(templates.sqlLetters, batch),
    pgBossFunctionContestant('pg-boss', templates.requests),
    pgBossFunctionContestant('pg-boss-fastest', templates.requests),
  ];
  for (const contestant of functions.filter((one) => isWanted('sql', one))) {
    const name = `sql.${contestant.name}`;
    const measure = () => measureLetters(server, contestant, letters);
    tell('tried', name, await measure());
    entered.push({ name, settings: () => contestant.settings, measure, measured: [] });
  }
  const field = { server, receiver, posts: templates.posts };
  const posting: readonly PostContestant[] = [
    deliveryContestant(templates.httpQueued),
    replayPostContestant(templates.httpLetters, batch),
    pgBossPostContestant('pg-boss'),
    pgBossPostContestant('pg-boss-fastest'),
  ];
  for (const contestant of posting.filter((one) => isWanted('http', one))) {
    const name = `http.${contestant.name}`;
    let best = { concurrency: 0, rate: 0 };
    for (const concurrency of tried) {
      const figures = await measureContestant(field, contestant, concurrency);
      tell('tried', `${name} with ${concurrency} in flight`, figures);
      if (figures.rate > best.rate) best = { concurrency, rate: figures.rate };
    }
    const { concurrency } = best;
    const measure = () => measureContestant(field, contestant, concurrency);
    const settings = () => ({ ...contestant.settings, concurrency });
    entered.push({ name, settings, measure, measured: [] });
  }
  return entered;
}

function tell(when: string, name: string, { rate, nodeMicros, postgresMicros }: Measured): void {
  process.stderr.write(
    `${when}: ${name} ${rate}/s, CPU µs each: Node ${nodeMicros}, PostgreSQL ${postgresMicros}\n`,
  );
}

function rotated<T>(all: readonly T[], by: number): T[] {
  const first = by % all.length;
  return [...all.slice(first), ...all.slice(0, first)];
}

function ratesOf(entered: readonly Entered[], one: number): Record<string, number> {
  return Object.fromEntries(entered.map(({ name, measured }) => [name, measured[one]?.rate ?? 0]));
}

/** The replay divided by each other one of its field. */
function ratiosOf(rates: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(
    Object.entries(rates).flatMap(([name, rate]) => {
      const ours = `${name.split('.')[0]}.replay`;
      const replay = rates[ours];
      return replay === undefined || name === ours ? [] : [[name, replay / rate]];
    }),
  );
}

/** What was tuned, and the medians of the CPU time. */
function settingsOf({ name, settings, measured }: Entered): Record<string, string | number> {
  const micros = (figure: 'nodeMicros' | 'postgresMicros') => median(measured.map((one) => one[figure]));
  const all = { ...settings(), nodeMicros: micros('nodeMicros'), postgresMicros: micros('postgresMicros') };
  return Object.fromEntries(Object.entries(all).map(([setting, value]) => [`${name}.${setting}`, value]));
}
