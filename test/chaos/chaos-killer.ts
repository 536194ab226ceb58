import { setTimeout as delay } from 'node:timers/promises';
import { type ChaosLine, chaosLine } from './chaos-line.ts';
import type { SeededRandom } from './seeded-random.ts';

export interface Killer {
  readonly url: () => string;
  readonly random: SeededRandom;
  readonly prey: readonly Prey[];
  readonly crash: () => Promise<void>;
  /** Becomes true once for each crash that is due. */
  readonly isCrashDue: () => boolean;
  readonly isOver: () => boolean;
}

/** Who is struck how often is counted in work done, not in seconds: on a slow machine work goes on all the same. */
export interface Prey {
  /** Application names to choose from. */
  readonly names: readonly [string, ...string[]];
  /** Work done so far by all of them. */
  readonly done: () => number;
  /** A blow falls after so much more work, at least and at most. */
  readonly every: readonly [number, number];
}

export interface KillerTally {
  terminated: number;
  cancelled: number;
  crashes: number;
}

/** Terminates backends, cancels statements, and crashes the server when that is due, until it is told to stop. */
export async function runKiller(killer: Killer): Promise<KillerTally> {
  const { url } = killer;
  const tally: KillerTally = { terminated: 0, cancelled: 0, crashes: 0 };
  const hunts = killer.prey.map((prey) => ({
    ...prey,
    random: killer.random.stream(prey.names[0]),
    dueAt: 0,
  }));
  let line: ChaosLine | undefined;
  while (!killer.isOver()) {
    if (killer.isCrashDue()) {
      line?.hangUp();
      line = undefined;
      await killer.crash();
      tally.crashes += 1;
    }
    for (const hunt of hunts) {
      if (hunt.done() < hunt.dueAt) continue;
      const { random } = hunt;
      hunt.dueAt = hunt.done() + random.int(...hunt.every);
      const [victim, blow] = [
        random.pick(hunt.names),
        random.chance(0.8) ? 'terminated' : 'cancelled',
      ] as const;
      line ??= await chaosLine(url, 'chaos killer');
      tally[blow] += await strike(line, blow, victim);
    }
    await delay(5);
  }
  await line?.close();
  return tally;
}

async function strike(line: ChaosLine, blow: 'terminated' | 'cancelled', victim: string): Promise<number> {
  const call = blow === 'terminated' ? 'pg_terminate_backend' : 'pg_cancel_backend';
  const struck = await line.query<{ hit: boolean }>(
    `select ${call}(pid) as hit from pg_stat_activity where application_name = $1 and datname = current_database()`,
    [victim],
  );
  return struck.filter(({ hit }) => hit).length;
}
