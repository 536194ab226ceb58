import { setTimeout as delay } from 'node:timers/promises';
import { type ChaosLine, chaosLine } from './chaos-line.ts';
import type { SeededRandom } from './seeded-random.ts';
import { isExpected, type Surprises } from './surprises.ts';

export interface PollerTally {
  runs: number;
  busy: number;
  /** Ran and was rolled back or left without a COMMIT; or was cut off, who knows where. */
  undone: number;
}

export interface Poller {
  readonly name: string;
  readonly url: () => string;
  readonly random: SeededRandom;
  readonly tally: PollerTally;
  readonly surprises: Surprises;
  readonly isOver: () => boolean;
}

export interface RunAnswer {
  readonly status: string;
  readonly seen: number;
  readonly attempts_written: number;
}

const BATCH = { from: 50, to: 2_000 };

/** Runs the worker over and over, with batches of any size, and not always to the end. */
export async function runPoller(poller: Poller): Promise<void> {
  const { url, name, random, tally, surprises } = poller;
  let line = await chaosLine(url, name);
  while (!poller.isOver()) {
    if (line.isBroken()) line = await chaosLine(url, name);
    const limit = random.int(BATCH.from, BATCH.to);
    const way = random.int(1, 100);
    const pause = random.int(0, 15);
    try {
      if (way <= 70) tally[await poll(line, limit)] += 1;
      else await pollSlowly(line, { limit, way, pause }, tally);
    } catch (error) {
      tally.undone += 1;
      surprises.note(error, isExpected(error));
      if (!line.isBroken()) await line.query('rollback').catch(() => line.hangUp());
    }
    await delay(random.int(0, 15));
  }
  await line.close();
}

/** Holds the cursor for a while after the run; some roll it back then, and some are gone without a word. */
async function pollSlowly(
  line: ChaosLine,
  { limit, way, pause }: { limit: number; way: number; pause: number },
  tally: PollerTally,
): Promise<void> {
  await line.query('begin');
  const counted = await poll(line, limit);
  await delay(pause);
  if (way <= 85) {
    await line.query('commit');
    tally[counted] += 1;
  } else {
    if (way <= 93) await line.query('rollback');
    else line.hangUp();
    tally[counted === 'runs' ? 'undone' : 'busy'] += 1;
  }
}

async function poll(line: ChaosLine, limit: number): Promise<'runs' | 'busy'> {
  const { status } = await runOnce(line, limit);
  if (status !== 'ran' && status !== 'busy') throw new Error(`a run answered ${status}`);
  return status === 'ran' ? 'runs' : 'busy';
}

export async function runOnce(line: ChaosLine, limit: number): Promise<RunAnswer> {
  const [row] = await line.query<{ answer: RunAnswer }>(
    `select fn_iu_route_worker_run('iu_outbound_default', $1) as answer`,
    [limit],
  );
  if (row === undefined) throw new Error('a run gave no answer');
  return row.answer;
}
