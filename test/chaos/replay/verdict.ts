import type pg from 'pg';
import { ask } from '../../sql-worker/support/worker.ts';
import { CHAOS_ROUTES } from './expected.ts';
import type { Arrival } from './receiver.ts';
import { INVERSIONS_SQL, STORIES_SQL, WRONG_COUNTS_SQL } from './verdict-sql.ts';

/** What speaks against a run, counted; all zero where it kept every promise. */
export interface ReplayVerdict {
  readonly letters: number;
  readonly resolved: number;
  readonly failed: number;
  readonly tries: number;
  /** Letters that are not in the plan exactly once. */
  readonly unplanned: number;
  /** Letters with more or fewer attempts than the original and those of the policy. */
  readonly wrongAttempts: number;
  /** Letters whose attempts are not numbered 1, 2, 3. */
  readonly gaps: number;
  /** Letters that ended otherwise than they should, or failed after they were sent. */
  readonly wrongEnds: number;
  /** Letters of which the plan's row tells something else than their attempts. */
  readonly wrongRows: number;
  /** Letters of functions: without the effect of a resolved one, with two, with one of a failed one. */
  readonly effectsMissing: number;
  readonly effectsTwice: number;
  readonly effectsOfFailures: number;
  /** Effects after a later one of their subject, on the ordered route. */
  readonly inversions: number;
  /** Letters of endpoints of which fewer requests arrived than attempts tell. */
  readonly neverArrived: number;
  readonly actsMissing: number;
  readonly actsTwice: number;
  readonly actsOfFailures: number;
  /** Requests under a key of no letter, or of another event than the key names. */
  readonly strays: number;
  readonly changedBytes: number;
  /** Requests that no attempt tells of; those of them that no worker's death explains. */
  readonly repeated: number;
  readonly unexplained: number;
  /** Deliveries left in the queue. */
  readonly queued: number;
  /** Counts of the plan that differ from its rows. */
  readonly wrongCounts: readonly string[];
  readonly isBalanced: boolean;
  /** What became of some of the letters that are wrong. */
  readonly stories: readonly string[];
}

export interface VerdictOptions {
  readonly sql: pg.Client;
  readonly planHash: string;
  /** Requests of the replay, in the order of arrival. */
  readonly arrivals: readonly Arrival[];
  /** When workers died, in milliseconds since 1970. */
  readonly kills: readonly number[];
}

interface Story {
  readonly event_id: string;
  readonly route: string;
  readonly n: number;
  readonly letter: string;
  readonly replay_count: number;
  readonly numbers: readonly number[];
  readonly statuses: readonly string[];
  readonly planned: readonly {
    readonly state: string;
    readonly tries: number;
    readonly attempt_no: number;
  }[];
  readonly effects: number;
}

/** A try that was under way when its worker died had arrived at most so long before, in milliseconds. */
const UNDER_WAY_MS = 30_000;
const STORIES = 20;

/** Holds what the policy promises against the attempts, the rows, the effects and what the receiver saw. */
export async function replayVerdict({
  sql,
  planHash,
  arrivals,
  kills,
}: VerdictOptions): Promise<ReplayVerdict> {
  const found = await sql.query<Story>(STORIES_SQL, [planHash]);
  const byEvent = groupedBy(arrivals, ({ eventId }) => eventId);
  const wrong = new Map<string, number>();
  const stories: string[] = [];
  const sums = { resolved: 0, failed: 0, tries: 0, repeated: 0 };
  for (const story of found.rows) {
    const arrived = byEvent.get(story.event_id) ?? [];
    byEvent.delete(story.event_id);
    const { faults, repeated } = faultsOf(story, arrived, kills);
    sums.repeated += repeated;
    sums.tries += story.numbers.length - 1;
    sums[story.letter === 'resolved' ? 'resolved' : 'failed'] += 1;
    for (const fault of faults) wrong.set(fault, (wrong.get(fault) ?? 0) + 1);
    if (faults.length > 0 && stories.length < STORIES)
      stories.push(
        `${faults.join(' ')}: ${JSON.stringify({ ...story, arrivals: arrived.map(({ at }) => at) })}`,
      );
  }
  const count = (fault: Fault) => wrong.get(fault) ?? 0;
  const strays = [...byEvent.values()].reduce((sum, list) => sum + list.length, 0);
  return {
    letters: found.rows.length,
    ...sums,
    unplanned: count('unplanned'),
    wrongAttempts: count('wrongAttempts'),
    gaps: count('gaps'),
    wrongEnds: count('wrongEnds'),
    wrongRows: count('wrongRows'),
    effectsMissing: count('effectsMissing'),
    effectsTwice: count('effectsTwice'),
    effectsOfFailures: count('effectsOfFailures'),
    inversions: await ask<number>(sql, INVERSIONS_SQL),
    neverArrived: count('neverArrived'),
    actsMissing: count('actsMissing'),
    actsTwice: count('actsTwice'),
    actsOfFailures: count('actsOfFailures'),
    strays: strays + count('strays'),
    changedBytes: count('changedBytes'),
    unexplained: count('unexplained'),
    queued: await ask<number>(sql, 'select count(*)::integer as answer from iu_route_delivery'),
    wrongCounts: await ask<string[]>(sql, WRONG_COUNTS_SQL, [planHash]),
    isBalanced: await ask<boolean>(sql, `select (fn_iu_conservation() ->> 'balanced')::boolean as answer`),
    stories,
  };
}

type Fault = {
  [Key in keyof ReplayVerdict]: ReplayVerdict[Key] extends number ? Key : never;
}[keyof ReplayVerdict];

function faultsOf(
  story: Story,
  arrived: readonly Arrival[],
  kills: readonly number[],
): { faults: readonly Fault[]; repeated: number } {
  const { route, n, numbers, statuses, planned, effects } = story;
  const { kind, expected } = CHAOS_ROUTES[route] ?? {};
  if (expected === undefined) return { faults: ['unplanned'], repeated: 0 };
  const { tries, isResolved } = expected(n);
  const isHttp = kind === 'external_endpoint';
  const [row] = planned;
  const repeated = isHttp ? Math.max(0, arrived.length - tries) : 0;
  const acts = isHttp ? arrived.filter(({ isAct }) => isAct).length : effects;
  const found: Partial<Record<Fault, boolean>> = {
    unplanned: planned.length !== 1,
    wrongAttempts: numbers.length !== 1 + tries,
    gaps: numbers.some((no, index) => no !== index + 1),
    wrongEnds:
      story.letter !== (isResolved ? 'resolved' : 'open') ||
      story.replay_count !== tries ||
      statuses.some((status, index) => status !== (isResolved && index === tries ? 'sent' : 'failed')),
    wrongRows:
      row?.state !== (isResolved ? 'resolved' : 'failed') ||
      row.tries !== tries ||
      row.attempt_no !== numbers.length,
    [isHttp ? 'actsMissing' : 'effectsMissing']: isResolved && acts < 1,
    [isHttp ? 'actsTwice' : 'effectsTwice']: isResolved && acts > 1,
    [isHttp ? 'actsOfFailures' : 'effectsOfFailures']: !isResolved && acts > 0,
    neverArrived: isHttp && arrived.length < tries,
    strays: arrived.some((one) => !isHttp || one.route !== route || one.key !== `${story.event_id}:${route}`),
    changedBytes: new Set(arrived.map(({ bodySha256 }) => bodySha256)).size > 1,
    unexplained: repeated > explained(arrived, kills),
  };
  return { faults: (Object.keys(found) as Fault[]).filter((fault) => found[fault]), repeated };
}

/** How many requests of a letter came after one that was under way when a worker died. */
function explained(arrived: readonly Arrival[], kills: readonly number[]): number {
  return arrived.filter(({ at }, index) => {
    const next = arrived[index + 1];
    return (
      next !== undefined && kills.some((kill) => at <= kill && kill <= next.at && kill - at < UNDER_WAY_MS)
    );
  }).length;
}

function groupedBy<Item>(items: readonly Item[], keyOf: (item: Item) => string): Map<string, Item[]> {
  const groups = new Map<string, Item[]>();
  for (const item of items) {
    const group = groups.get(keyOf(item));
    if (group === undefined) groups.set(keyOf(item), [item]);
    else group.push(item);
  }
  return groups;
}
