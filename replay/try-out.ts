import type pg from 'pg';
import type { TargetAccess } from '../activities/dependencies.ts';
import { REPLAY_DEFAULTS, type ReplayPlan } from '../contracts/replay.ts';
import type { DeliveryRegistry } from '../delivery/delivery-registry.ts';
import type { Transact } from '../target/transact.ts';
import { tryOutAtTarget } from './try-out-at-target.ts';
import { tryOutInDatabase } from './try-out-in-database.ts';
import { groupKey, readSamples, type Sample, type TriedSample, untried } from './try-out-sample.ts';

/** How long a plan is tried out, in milliseconds; a letter that was begun by then is tried to its end. */
const TOTAL_MS = 30_000;

export interface TryOutOptions {
  readonly client: pg.Client;
  readonly transact: Transact<'read only' | 'read write'>;
  readonly target: Pick<TargetAccess, 'delivery'>;
  readonly registry: DeliveryRegistry;
  readonly plan: Pick<ReplayPlan, 'groups' | 'actor' | 'reason'> & { readonly planHash: string };
  /** Letters of each route and fingerprint at most. */
  readonly samples: number;
  /** {@link REPLAY_DEFAULTS}. */
  readonly letterTimeoutMs?: number;
  /** In milliseconds; 30,000. */
  readonly totalMs?: number;
}

/** What a group's letters showed, as `fn_iu_replay_tried` takes it. */
export interface TriedGroup {
  readonly route: string | null;
  readonly fingerprint: string;
  /** Letters that something was tried of; what was not tried is unknown, and says why. */
  readonly tried: number;
  readonly fixed: number;
  readonly stillFailing: number;
  readonly unknown: number;
  /** How the first still fails; where none does, why the first is unknown. */
  readonly because: string | null;
}

/**
 * Tries letters of every route and fingerprint of a plan out and leaves nothing: letters of database functions inside
 * probes, letters of reports and vectors as their targets can, and of what is called from outside only what is known
 * without calling it. Nothing is open while a target is asked. One of each kind comes first, then a second of each.
 *
 * @throws the error of a connection that was lost
 */
export async function tryOut(options: TryOutOptions): Promise<readonly TriedGroup[]> {
  const { client, transact, registry, plan, samples } = options;
  const timeoutMs = options.letterTimeoutMs ?? REPLAY_DEFAULTS.letterTimeoutMs;
  const totalMs = options.totalMs ?? TOTAL_MS;
  const until = performance.now() + totalMs;
  const { actor, reason } = plan;
  const { delivery } = options.target;
  const rounds = await transact('read write', () => readSamples(client, plan.planHash, samples));
  const tried = new Map<Sample, TriedSample>();
  const codes = new Map(
    plan.groups.map((group) => [groupKey(group.route, group.fingerprint), group.failureCode]),
  );
  for (const round of rounds) {
    const inside = round.filter(({ target_kind: kind }) => kind === null || kind === 'sql_function');
    const database = { client, transact, actor, reason, letterTimeoutMs: timeoutMs, until };
    for (const [sample, found] of await tryOutInDatabase(database, inside)) tried.set(sample, found);
    for (const sample of round) {
      if (inside.includes(sample) || performance.now() >= until) continue;
      const failureCode = codes.get(groupKey(sample.route_code, sample.fingerprint)) ?? '';
      tried.set(sample, await tryOutAtTarget(registry, sample, { delivery, failureCode, timeoutMs }));
    }
  }
  const left = untried(`the ${totalMs / 1_000} s of the try-out were over`);
  return summed(rounds.flat().map((sample) => [sample, tried.get(sample) ?? left]));
}

function summed(tried: readonly (readonly [Sample, TriedSample])[]): readonly TriedGroup[] {
  const groups = new Map<string, (readonly [Sample, TriedSample])[]>();
  for (const one of tried) {
    const key = groupKey(one[0].route_code, one[0].fingerprint);
    groups.set(key, [...(groups.get(key) ?? []), one]);
  }
  return [...groups.values()].flatMap((members) => {
    const [first] = members;
    if (first === undefined) return [];
    const of = (verdict: TriedSample['verdict']) => members.filter(([, found]) => found.verdict === verdict);
    const [fixed, stillFailing, unknown] = [of('fixed'), of('still_failing'), of('unknown')];
    const telling = [...stillFailing, ...unknown, ...fixed][0]?.[1];
    return {
      route: first[0].route_code,
      fingerprint: first[0].fingerprint,
      tried: members.filter(([, { isTried }]) => isTried).length,
      fixed: fixed.length,
      stillFailing: stillFailing.length,
      unknown: unknown.length,
      because: telling?.because ?? null,
    };
  });
}
