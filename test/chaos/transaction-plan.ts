import { type DraftEvent, draftEvents } from './chaos-events.ts';
import type { SeededRandom } from './seeded-random.ts';

export type Step =
  | { readonly do: 'emit'; readonly events: readonly DraftEvent[] }
  | { readonly do: 'pause'; readonly ms: number }
  /** Takes the transaction's number, long before it emits. */
  | { readonly do: 'take number' }
  /** Writes into another table, which takes the number too. */
  | { readonly do: 'write witness' }
  | { readonly do: 'savepoint' | 'roll back to savepoint' | 'release savepoint' };

/** `hang up` sends COMMIT and does not wait for the answer; `prepare` commits in two phases. */
export type Ending = 'commit' | 'commit and hang up' | 'hang up' | 'roll back' | 'prepare';

export interface TransactionPlan {
  readonly steps: readonly Step[];
  readonly ending: Ending;
  /** Between the two phases, where there are two. */
  readonly preparedMs: number;
}

/** Above the largest batch of a poller. */
const LARGE = { from: 2_100, to: 3_200 };

/** Draws a whole transaction, so that what a kill cuts off changes nothing of those that follow. */
export function draftTransaction(random: SeededRandom): TransactionPlan {
  const total = random.chance(0.003) ? random.int(LARGE.from, LARGE.to) : random.int(1, random.int(1, 50));
  const events = draftEvents(random, total);
  const steps: Step[] = [];
  const isEarly = random.chance(0.3);
  if (isEarly) steps.push({ do: random.chance(0.5) ? 'take number' : 'write witness' });
  if (isEarly) steps.push({ do: 'pause', ms: random.int(1, 80) });
  while (events.length > 0) {
    const part = random.chance(0.5) ? events.length : random.int(1, events.length);
    const emit = { do: 'emit', events: events.splice(0, part) } as const;
    if (random.chance(0.2)) {
      steps.push({ do: 'savepoint' }, emit);
      if (random.chance(0.3)) steps.push(...nested(random));
      steps.push({ do: random.chance(0.5) ? 'roll back to savepoint' : 'release savepoint' });
    } else {
      steps.push(emit);
    }
    if (random.chance(0.2)) steps.push({ do: 'pause', ms: random.int(0, 10) });
  }
  if (!steps.some((step) => step.do === 'write witness')) steps.push({ do: 'write witness' });
  if (random.chance(0.7)) steps.push({ do: 'pause', ms: random.int(0, random.chance(0.1) ? 250 : 25) });
  return { steps, ending: ending(random), preparedMs: random.int(0, 100) };
}

/** A savepoint within a savepoint. */
function nested(random: SeededRandom): Step[] {
  return [
    { do: 'savepoint' },
    { do: 'emit', events: draftEvents(random, random.int(1, 5)) },
    { do: random.chance(0.5) ? 'roll back to savepoint' : 'release savepoint' },
  ];
}

function ending(random: SeededRandom): Ending {
  const drawn = random.int(1, 100);
  if (drawn <= 8) return 'roll back';
  if (drawn <= 10) return 'hang up';
  if (drawn <= 13) return 'commit and hang up';
  if (drawn <= 16) return 'prepare';
  return 'commit';
}
