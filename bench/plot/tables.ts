import { sayCount, sayNumber } from '../../evidence/say-quantity.ts';
import { pointsOf } from './draw-backlog.ts';
import { POSTERS } from './draw-delivery.ts';
import { CONTESTANTS } from './draw-drain.ts';
import { ofField, REPLAYERS, type ReplayField } from './draw-replay.ts';
import type { Result } from './result.ts';

/** The rates of `bench drain`, fastest first, and what made them. */
export function drainTable({ median, ratios, rounds, settings }: Result): string {
  const rows = Object.entries(median)
    .sort(([, a], [, b]) => b - a)
    .map(([name, rate]) => [
      CONTESTANTS[name] ?? name,
      versionOf(settings, name),
      sayCount(Math.round(rate)),
      name === 'drain' ? '' : two(ratios[name]),
    ]);
  const about = `${sayCount(Number(settings.events))} events each, median of ${sayNumber(rounds.length, 'round')}.`;
  return [
    table([['', 'version', '-events per second', '-worker ÷ it'], ...rows]),
    `(${about} ${machine(settings)})`,
  ].join('\n\n');
}

/** The figures of `bench backlog`: cost by backlog, growth beside the raw statement's, and the held horizon. */
export function backlogTable(result: Result): string {
  const { median, ratios, rounds, settings, held } = result;
  const rowsOf = (side: 'Ahead' | 'Behind', say: (count: string) => string) => {
    const raw = pointsOf(median, 'raw', side);
    return pointsOf(median, 'worker', side).map(({ count, ms }, at) => [
      say(sayCount(count)),
      two(ms),
      two(raw[at]?.ms),
    ]);
  };
  const smallest = sayCount(pointsOf(median, 'worker', 'Ahead')[0]?.count ?? 0);
  const costs = table([
    ['median ms per 1,000 events', '-route worker', '-bare insert'],
    ...rowsOf('Ahead', (count) => `${count} events ahead of the cursor`),
    ...rowsOf('Behind', (count) => `${smallest} ahead, ${count} attempts behind it`),
  ]);
  const growth = table([
    ['growth from the smallest to the largest', '-route worker', '-bare insert', '-worker ÷ bare'],
    ['with the backlog', two(ratios.backlog), two(ratios.backlogRaw), two(ratios.backlogBesideRaw)],
    [
      'with the attempts behind',
      two(ratios.attempts),
      two(ratios.attemptsRaw),
      two(ratios.attemptsBesideRaw),
    ],
  ]);
  const about = `Median of ${sayNumber(rounds.length, 'round')}, ${settings.batches} batches of ${sayCount(Number(settings.batch))} events a round.`;
  return [
    costs,
    growth,
    ...(held === undefined ? [] : [heldTable(held)]),
    `(${about} ${machine(settings)})`,
  ].join('\n\n');
}

/** The rates of `bench delivery`, fastest first, with the CPU time of each POST, and what made them. */
export function deliveryTable({ median, ratios, rounds, settings }: Result): string {
  const rows = Object.entries(median)
    .sort(([, a], [, b]) => b - a)
    .map(([name, rate]) => [
      POSTERS[name] ?? name,
      name === 'bare' ? '' : versionOf(settings, name),
      sayCount(Number(settings[`${name}.concurrency`])),
      sayCount(Math.round(rate)),
      name === 'delivery' ? '' : two(ratios[name]),
      sayCount(Number(settings[`${name}.nodeMicros`])),
      name === 'bare' ? '' : sayCount(Number(settings[`${name}.postgresMicros`])),
    ]);
  const about = `${sayCount(Number(settings.events))} POSTs each, bodies of ${settings.bodyBytes} bytes, median of ${sayNumber(rounds.length, 'round')}.`;
  const head = [
    '',
    'version',
    '-in flight',
    '-POSTs per second',
    '-delivery ÷ it',
    '-CPU µs, Node',
    '-CPU µs, PostgreSQL',
  ];
  return [table([head, ...rows]), `(${about} ${machine(settings)})`].join('\n\n');
}

/** The samples of `bench delivery --memory` and `bench replay --memory`, which count those. */
export function memoryTable({ rounds: samples, ratios, settings }: Result, counted: string): string {
  const rows = samples.map((sample) => [
    sayCount(Number(sample[counted])),
    two(sample.rssMb),
    two(sample.heapMb),
    two(sample.buffersMb),
    sayCount(Number(sample.perSecond)),
  ]);
  const head = [`-${counted}`, '-resident, MiB', '-heap in use, MiB', '-buffers, MiB', '-per second'];
  const growth = `Last three samples ÷ first three: resident ${two(ratios.rss)}, heap ${two(ratios.heap)}.`;
  return [table([head, ...rows]), `(${growth} ${machine(settings)})`].join('\n\n');
}

/** The rates of one field of `bench replay`, fastest first, with the CPU time of each letter, and what made them. */
export function replayTable(field: ReplayField, result: Result): string {
  const { median, ratios, rounds, settings } = ofField(result, field);
  const rows = Object.entries(median)
    .sort(([, a], [, b]) => b - a)
    .map(([name, rate]) => [
      REPLAYERS[field][name] ?? name,
      versionOf(settings, name),
      sayCount(Math.round(rate)),
      name === 'replay' ? '' : two(ratios[name]),
      sayCount(Number(settings[`${name}.nodeMicros`])),
      sayCount(Number(settings[`${name}.postgresMicros`])),
    ]);
  const about =
    `${sayCount(Number(settings.events))} letters, median of ${sayNumber(rounds.length, 'round')}; ` +
    `making the plan took ${sayCount(Number(settings['replay.planMicros']))} µs a letter before.`;
  const head = ['', 'version', '-letters per second', '-replay ÷ it', '-CPU µs, Node', '-CPU µs, PostgreSQL'];
  return [table([head, ...rows]), `(${about} ${machine(settings)})`].join('\n\n');
}

/** The rates of `bench dead-endpoint`. */
export function deadEndpointTable({ median, ratios, rounds, settings }: Result): string {
  const count = (name: string) => sayCount(Number(settings[name]));
  const about = `${count('events')} events of the healthy route, median of ${sayNumber(rounds.length, 'round')}; tries of dead deliveries before their breakers opened: at most ${count('deadTriesAtMost')} of ${sayCount(Number(settings.deadRoutes) * Number(settings.deadEvents))}.`;
  return [
    table([
      ['deliveries per second of a healthy route', '-'],
      ['alone', sayCount(Math.round(Number(median.alone)))],
      [
        `beside ${count('deadRoutes')} dead routes with ${count('deadEvents')} due events each`,
        sayCount(Math.round(Number(median.beside))),
      ],
      ['beside ÷ alone', two(ratios.alone)],
    ]),
    `(${about} ${machine(settings)})`,
  ].join('\n\n');
}

function heldTable(held: NonNullable<Result['held']>): string {
  const count = (name: string) => sayCount(Number(held[name]));
  const pair = (name: string) => `${two(held[`${name}First`])}, ${two(held[`${name}Last`])}`;
  return table([
    [`another transaction open for ${held.seconds} s while producers write`, '-'],
    [
      `ms per run while it catches up (${count('eventsAtOnce')} events a run): first half, second half`,
      pair('msCatchingUp'),
    ],
    ['ms per run while it waits at the mark: first half, second half', pair('msWaiting')],
    ['events above the mark at its end', count('unsettled')],
    ['of them decided before the mark moved', count('decidedAboveMark')],
    ['health named the blocker by pid and application', held.blockerNamed === true ? 'yes' : 'no'],
    ['drained once it had ended', `${count('drainedAfterwards')} in ${two(held.drainSeconds)} s`],
    ['events lost', count('lost')],
    ['conservation balanced', held.balanced === true ? 'yes' : 'no'],
  ]);
}

/** The first row is the head; a head that begins with `-` is a column of numbers. */
function table([head = [], ...rows]: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`.replace(/ {2,}/g, ' ');
  const rule = head.map((cell) => (cell.startsWith('-') ? '---:' : '---'));
  return [line(head.map((cell) => cell.replace(/^-/, ''))), line(rule), ...rows.map(line)].join('\n');
}

function machine(settings: Result['settings']): string {
  const { cores, cpu, node, postgresql, shared_buffers, loadAtStart } = settings;
  return (
    `${cores} cores of an ${cpu}, Node ${String(node).replace(/^v/, '')}, PostgreSQL ${postgresql}, ` +
    `fsync ${settings.fsync}, synchronous_commit ${settings.synchronous_commit}, full_page_writes ` +
    `${settings.full_page_writes}, shared_buffers ${shared_buffers}; load when it began: ${loadAtStart}.`
  );
}

function versionOf(settings: Result['settings'], name: string): string {
  const version = settings[`${name}.version`];
  return version === undefined ? `PostgreSQL ${settings.postgresql}` : String(version).replace(/^v/, '');
}

function two(value: unknown): string {
  return Number(value).toFixed(2);
}
