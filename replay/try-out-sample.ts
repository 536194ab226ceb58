import type pg from 'pg';
import type { TryOut } from '../delivery/delivery-target.ts';

/** A letter to try out, as `fn_iu_replay_samples` gives it. */
export interface Sample {
  readonly place: number;
  readonly dead_letter_id: string;
  readonly route_code: string | null;
  readonly fingerprint: string;
  /** Null where the failure belongs to no route. */
  readonly target_kind: string | null;
  readonly target_ref: string | null;
  readonly config: Readonly<Record<string, unknown>> | null;
  /** live, dry_run, or what keeps a replay from being tried. */
  readonly mode: string;
  readonly request: unknown;
  readonly payload: string | null;
}

/** What trying a letter out showed. */
export interface TriedSample extends TryOut {
  /** False where there was nothing to try: a gate is closed, a target is never called, the time was over. */
  readonly isTried: boolean;
}

/** Up to `each` letters of every route and fingerprint of a plan: first one of each, then a second of each, and so on. */
export async function readSamples(
  client: pg.Client,
  planHash: string,
  each: number,
): Promise<readonly (readonly Sample[])[]> {
  const { rows } = await client.query<Sample>(
    `select place, dead_letter_id::text as dead_letter_id, route_code, fingerprint, target_kind, target_ref, config, mode,
            request, payload
       from fn_iu_replay_samples($1, $2)
      order by place`,
    [planHash, each],
  );
  const rounds: Sample[][] = [];
  const seen = new Map<string, number>();
  for (const sample of rows) {
    const key = groupKey(sample.route_code, sample.fingerprint);
    const round = seen.get(key) ?? 0;
    seen.set(key, round + 1);
    rounds[round] = [...(rounds[round] ?? []), sample];
  }
  return rounds;
}

/** Tells groups of a plan apart. */
export function groupKey(route: string | null, fingerprint: string): string {
  return JSON.stringify([route, fingerprint]);
}

/** Nothing was tried, and why. */
export function untried(because: string): TriedSample {
  return { verdict: 'unknown', because, isTried: false };
}

/** Characters of a reason at most; a failure's message may be long. */
const LENGTH = 300;

/** A reason as plans tell it: one line, not too long, without a full stop. */
export function reason(text: string): string {
  const flat = text.replace(/\s+/g, ' ').trim().replace(/\.$/, '');
  const characters = Array.from(flat);
  return characters.length <= LENGTH ? flat : `${characters.slice(0, LENGTH - 1).join('')}…`;
}
