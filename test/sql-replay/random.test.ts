// Plans of letters of several routes and kinds of failure, stepped by workers that are killed between and inside their
// transactions, under random failures, steering, single replays, parking and gates: whatever happens, the books are right
// after each move, and at the end every letter has what its policy allows and every event at most one effect on a route.
import type pg from 'pg';
import { afterEach, describe, expect, test } from 'vitest';
import type { ReplayStep } from '../../replay/replay-step.ts';
import { claim, endLeases, liveRoute, setConfig, settleWith } from '../sql-delivery/support/deliveries.ts';
import { installed } from '../sql-worker/support/installed.ts';
import { ask, runWorker } from '../sql-worker/support/worker.ts';
import type { TestDatabase } from '../support/create-database.ts';
import { demandBooks } from './support/books.ts';
import { buildReplayApp, callingRoute, cure, emitAll, trouble } from './support/replay-app.ts';
import { codeOf, letterIds, open, plan, progressOf } from './support/replays.ts';

const SEEDS = (process.env.SLUICE_REPLAY_SEEDS ?? '1,2').split(',').map(Number);
const MOVES = Number(process.env.SLUICE_REPLAY_MOVES ?? '120');
const ATTEMPTS = 3;

/** A small generator of numbers (mulberry32), so that a seed tells the whole story. */
function chance(seed: number) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  return {
    below: (n: number) => Math.floor(next() * n),
    one: <T>(of: readonly T[]): T => of[Math.floor(next() * of.length)] as T,
    is: (probability: number) => next() < probability,
  };
}

describe.each([15, 18] as const)('random replays on PostgreSQL %i', (major) => {
  let database: TestDatabase;
  afterEach(async () => {
    await database.drop();
  });

  test.each(SEEDS)(
    'seed %i: effects once, tries within the policy, no letter lost, progress never back',
    { timeout: 300_000 },
    async (seed) => {
      database = await installed(major, 'replaying');
      const client = await database.connect();
      const luck = chance(seed * 7919 + major);
      const names = await prepare(client);
      if (luck.is(0.5)) await client.query(`update iu_outbound_route set after_dead_letter = 'block'`);

      const hashes: string[] = [];
      for (const routes of [
        ['one', 'kept'],
        ['out', 'kept_out'],
      ]) {
        const { planHash } = await plan(
          client,
          { routes },
          {
            canary: luck.below(3),
            canaryFailureLimit: 1000,
            failureLimit: 1000,
            attempts: ATTEMPTS,
            ratePerSecond: null,
            initialIntervalMs: 0,
          },
        );
        if (planHash === null) throw new Error('no letters');
        hashes.push(planHash);
      }
      const runs = new Map<string, string>();
      let runNo = 0;
      const begin = async (hash: string) => {
        runNo += 1;
        runs.set(hash, `run-${runNo}`);
        await open(client, hash, `run-${runNo}`);
      };
      for (const hash of hashes) await begin(hash);
      const runOfPlan = (hash: string) => runs.get(hash) ?? '';
      const high = new Map<string, number>();
      const ended = async (hash: string) => {
        const { state } = await progressOf(client, hash);
        return state === 'executed';
      };
      const stepIn = (session: pg.Client, hash: string, limit: number) =>
        ask<ReplayStep>(session, 'select fn_iu_replay_step($1, $2, $3, $4, $5) as answer', [
          hash,
          runOfPlan(hash),
          'end',
          limit,
          1 + luck.below(6),
        ]);
      const endOrGoOn = async (hash: string, found: ReplayStep | null) => {
        if (found?.status === 'executed' || found?.status === 'cancelled') {
          const outcome = found.status;
          await client.query('select fn_iu_replay_close($1, $2, $3, null)', [hash, runOfPlan(hash), outcome]);
          if (!(await ended(hash))) await begin(hash);
        }
      };
      const steer = async (hash: string, what: string, value: unknown = null) =>
        client.query(`select fn_iu_replay_steer($1, $2, $3, $4, 'an operator', 'a drill')`, [
          hash,
          runOfPlan(hash),
          what,
          value === null ? null : JSON.stringify(value),
        ]);
      const singly = async (call: string) => {
        const [id] = await letterIds(client, luck.one(names));
        const code = await codeOf(client.query(`select ${call}`, [id]));
        expect(['none', 'SL010 dead_letter_refused']).toContain(code);
      };
      const settleSome = async () => {
        for (const route of ['out', 'kept_out']) {
          const lease = await claim(client, 1 + luck.below(3), { route });
          if (luck.is(0.15)) continue;
          const outcomes = lease.events.map((event_id) =>
            luck.is(0.6)
              ? { event_id, status: 'sent', delivered: true }
              : { event_id, status: 'failed', code: 'http_503', message: 'Answer 503', retry_ms: 0 },
          );
          await settleWith(client, lease.token, outcomes, route);
        }
      };
      /** Lost between, or inside: what was not committed is gone. */
      const killed = async (hash: string) => {
        const worker = await database.connect();
        await worker.query('begin');
        const { rows } = await worker.query<{ pid: number }>('select pg_backend_pid() as pid');
        if (luck.is(0.7)) await codeOf(stepIn(worker, hash, 5));
        await client.query('select pg_terminate_backend($1)', [rows[0]?.pid]);
        await worker.end().catch(() => undefined);
      };

      const MOVE: readonly (readonly [weight: number, move: (hash: string) => Promise<unknown>])[] = [
        [30, async (hash) => endOrGoOn(hash, await stepIn(client, hash, luck.below(8)))],
        [10, settleSome],
        [6, async () => trouble(client, luck.one(names), 'still no room')],
        [8, async () => trouble(client, luck.one(names), null)],
        [5, killed],
        [3, async (hash) => steer(hash, 'hold')],
        [5, async (hash) => steer(hash, 'release')],
        [2, async (hash) => steer(hash, 'cancel')],
        [1, async (hash) => steer(hash, 'skip', { ids: await idsOf(hash, luck.below(3) + 1) })],
        [3, async () => singly(`fn_iu_route_dead_letter_replay($1, 'me', 'singly')`)],
        [1, async () => singly(`fn_iu_dead_letter_change(array[$1::uuid], 'parked', 'me', 'singly')`)],
        [1, async () => singly(`fn_iu_dead_letter_change(array[$1::uuid], 'discarded', 'me', 'singly')`)],
        [
          2,
          async () =>
            setConfig(
              client,
              luck.one(['delivery_enabled', 'route_worker_enabled']),
              luck.one(['true', 'false']),
            ),
        ],
        [2, async () => endLeases(client)],
        [
          2,
          async (hash) => {
            await client.query(`select fn_iu_replay_abandon($1, $2, 'gone')`, [hash, runOfPlan(hash)]);
            if (!(await ended(hash))) await begin(hash);
          },
        ],
      ];
      const idsOf = async (hash: string, count: number) =>
        ask<string[]>(
          client,
          'select array_agg(dead_letter_id) as answer from (select dead_letter_id from iu_replay_letter where plan_hash = $1 order by md5(place || $3) limit $2) as l',
          [hash, count, String(luck.below(1000))],
        );
      const drawn = MOVE.flatMap(([weight, move]) =>
        Array<(hash: string) => Promise<unknown>>(weight).fill(move),
      );
      const look = async (where: string) => {
        await demandBooks(client).catch((error: Error) => {
          throw new Error(`${where}: ${error.message}`);
        });
        for (const hash of hashes) {
          const { resolved, failed, skipped, tries } = await progressOf(client, hash);
          const now = (resolved + failed + skipped) * 1_000 + tries;
          expect(now, where).toBeGreaterThanOrEqual(high.get(hash) ?? 0);
          high.set(hash, now);
        }
      };
      for (let n = 0; n < MOVES; n += 1) {
        const left = [];
        for (const hash of hashes) if (!(await ended(hash))) left.push(hash);
        if (left.length === 0) break;
        const move = luck.one(drawn);
        await move(luck.one(left)).catch((error: Error) => {
          throw new Error(`move ${n}, ${move.toString().slice(0, 80)}: ${error.message}`);
        });
        await look(`after move ${n}`);
      }

      // Then everything is cured, opened and let go: both plans end.
      await cure(client);
      for (const gate of ['delivery_enabled', 'route_worker_enabled']) await setConfig(client, gate, 'true');
      await endLeases(client);
      for (let round = 0; ; round += 1) {
        const left = [];
        for (const hash of hashes) if (!(await ended(hash))) left.push(hash);
        if (left.length === 0) break;
        expect(
          round,
          JSON.stringify(await Promise.all(left.map((hash) => progressOf(client, hash)))),
        ).toBeLessThan(100);
        for (const hash of left) {
          await client.query(
            'update iu_replay_letter set due_at = clock_timestamp() where due_at is not null',
          );
          if ((await progressOf(client, hash)).heldBy !== 'gate') await steer(hash, 'release');
          await endOrGoOn(hash, await stepIn(client, hash, 10));
          for (const route of ['out', 'kept_out']) {
            const lease = await claim(client, 10, { route });
            await settleWith(
              client,
              lease.token,
              lease.events.map((event_id) => ({ event_id, status: 'sent', delivered: true })),
              route,
            );
          }
          await look('at the end');
        }
      }
      // The oracle: of each letter, what its attempts say.
      const { rows } = await client.query<{ told: string }>(`
        select format('%s of %s: letter %s, plan %s (%s), %s tries', letter.event #>> '{payload,n}', letter.route_code, letter.state,
          planned.state, planned.because, planned.tries) as told
        from iu_replay_letter as planned
        join iu_route_dead_letter as letter using (dead_letter_id)
        cross join lateral (
          select
            count(*) filter (where status = 'sent') as sent,
            count(*) filter (where status = 'failed' and detail ->> 'plan' is null and attempt_no > 1) as failed_singly,
            max(attempt_no) as last,
            count(*) as written
          from iu_route_attempt where iu_route_attempt.idempotency_key = letter.idempotency_key
        ) as made
        where not (
          planned.state in ('resolved', 'failed', 'skipped')
          and (planned.state <> 'resolved' or letter.state = 'resolved')
          and (planned.state <> 'failed' or planned.tries = ${ATTEMPTS})
          and (letter.state <> 'resolved' or made.sent = 1)
          and (letter.state not in ('open', 'parked') or made.sent = 0)
          and (planned.state <> 'skipped' or planned.because is not null)
          and made.last = made.written
        )`);
      expect(rows.map((row) => row.told)).toEqual([]);
      const twice = await ask<number>(
        client,
        'select count(*)::int as answer from (select event_id, route_code from app.effect group by 1, 2 having count(*) > 1) as t',
      );
      expect(twice).toBe(0);
      const effectsWithoutAttempt = await ask<number>(
        client,
        `select count(*)::int as answer from app.effect where not exists (
           select from iu_route_attempt as a where a.event_id = effect.event_id and a.route_code = effect.route_code and a.status = 'sent')`,
      );
      expect(effectsWithoutAttempt).toBe(0);
      expect(await overtaken(client)).toEqual([]);
    },
  );

  /** Dead letters of four routes, two of them ordered; answers their names. */
  async function prepare(client: pg.Client): Promise<string[]> {
    await buildReplayApp(client);
    await callingRoute(client, 'one');
    await callingRoute(client, 'kept', { ordered: true, after: 'skip' });
    await liveRoute(client, 'out', { type: 'out' });
    await liveRoute(client, 'kept_out', { type: 'kept_out', ordered: true, after: 'skip' });
    const names: string[] = [];
    for (const route of ['one', 'kept', 'out', 'kept_out'])
      for (let n = 0; n < 9; n += 1) {
        const name = `${route}${n}`;
        names.push(name);
        await trouble(client, name, `no room of kind ${'abc'[n % 3]}`);
        await emitAll(client, route, [name], `${route} ${n % 3}`);
      }
    for (let round = 0; round < 12; round += 1) {
      const { seen } = await runWorker(client, 1000);
      let settled = 0;
      for (const route of ['out', 'kept_out']) {
        const lease = await claim(client, 100, { route });
        settled += lease.events.length;
        const outcomes = lease.events.map((event_id) => ({
          event_id,
          status: 'failed',
          code: 'http_400',
          message: 'no',
          retry_ms: null,
        }));
        await settleWith(client, lease.token, outcomes, route);
      }
      if (seen === 0 && settled === 0) break;
    }
    expect(await ask(client, 'select count(*)::int as answer from iu_route_dead_letter')).toBe(36);
    await client.query(`delete from iu_route_breaker`);
    return names;
  }
});

/** Letters of one subject that a plan has resolved before one that came earlier and that it resolved, too. */
async function overtaken(client: pg.Client): Promise<string[]> {
  const { rows } = await client.query<{ told: string }>(`
    with done as (
      select l.plan_hash, l.route_code, l.subject, l.subject_seq, a.created_at
      from iu_replay_letter as l
      join iu_route_attempt as a on a.event_id = l.event_id and a.route_code = l.route_code and a.status = 'sent'
      where l.state = 'resolved' and l.subject is not null
    )
    select format('%s %s/%s', later.route_code, later.subject, later.subject_seq) as told
    from done as earlier
    join done as later using (plan_hash, route_code, subject)
    where later.subject_seq > earlier.subject_seq and later.created_at < earlier.created_at`);
  return rows.map((row) => row.told);
}
