import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { installed } from '../sql-worker/support/installed.ts';
import { conserved, held, recorded } from '../sql-worker/support/subjects.ts';
import { ask, runWorker } from '../sql-worker/support/worker.ts';
import type { TestDatabase } from '../support/create-database.ts';
import { buildApp, effects, functionRoute } from './support/app-function.ts';
import {
  AGAIN,
  claim,
  DEAD,
  liveRoute,
  ROUTE,
  recall,
  SENT,
  SKIPPED,
  setConfig,
  settle,
  settleWith,
} from './support/deliveries.ts';

describe.each([15, 18] as const)('an ordered live route on PostgreSQL %i', (major) => {
  let database: TestDatabase;
  let client: pg.Client;
  beforeEach(async () => {
    database = await installed(major, 'delivering');
    client = await database.connect();
    await liveRoute(client, ROUTE, { ordered: true });
  });
  afterEach(async () => {
    await database.drop();
  });
  const emitted = async (...subjects: string[]) => {
    for (const subject of subjects)
      await client.query(`select fn_iu_emit_event('iu', 'told', $1, null, '{}', 'a test')`, [subject]);
  };
  /** What is queued, and not leased, in the order of its subjects: `a/1`. */
  const waiting = async () => {
    const { rows } = await client.query<{ told: string }>(
      `select format('%s/%s', event_subject, subject_seq) as told
       from iu_route_delivery join event_outbox on event_outbox.id = event_id
       where lease_token is null
       order by event_subject, subject_seq`,
    );
    return rows.map((row) => row.told);
  };
  const told = () => recorded(client, ROUTE);
  const change = (what: string) =>
    client.query(`update iu_outbound_route set ${what} where route_code = '${ROUTE}'`);
  /** Claims all and settles it; answers what was claimed. */
  const deliver = async (outcome: object = SENT) => {
    const lease = await claim(client);
    await settle(client, lease, outcome);
    const { rows } = await client.query<{ told: string }>(
      `select format('%s/%s', event_subject, subject_seq) as told from event_outbox
       where id = any ($1) order by event_subject, subject_seq`,
      [lease.events],
    );
    return rows.map((row) => row.told);
  };

  test('queues one event of each subject; the settling lets the next one go by itself', async () => {
    await emitted('a', 'a', 'b', 'a', 'b');
    expect(await runWorker(client)).toMatchObject({ seen: 5, attempts_written: 0 });
    expect(await waiting()).toEqual(['a/1', 'b/1']);
    expect(await held(client)).toEqual(['a/2', 'a/3', 'b/2']);
    expect(await conserved(client)).toBe('balanced, 3 held');
    expect(await deliver()).toEqual(['a/1', 'b/1']);
    expect(await waiting()).toEqual(['a/2', 'b/2']);
    expect(await deliver(SKIPPED)).toEqual(['a/2', 'b/2']);
    expect(await deliver()).toEqual(['a/3']);
    expect(await waiting()).toEqual([]);
    expect(await held(client)).toEqual([]);
    expect(await told()).toEqual(['a/1 sent', 'b/1 sent', 'a/2 skipped', 'b/2 skipped', 'a/3 sent']);
    expect(await conserved(client)).toBe('balanced');
  });

  test('n+1 is not queued while n is queued, leased, or due again; another subject goes on', async () => {
    await emitted('a', 'a');
    await runWorker(client);
    const lease = await claim(client);
    await emitted('a', 'b');
    await runWorker(client);
    expect(await waiting()).toEqual(['b/1']);
    expect(await settle(client, lease, { ...AGAIN, retry_ms: 3_600_000 })).toMatchObject({ retried: 1 });
    await runWorker(client);
    expect(await deliver()).toEqual(['b/1']);
    await emitted('b');
    await runWorker(client);
    expect(await deliver()).toEqual(['b/2']);
    expect(await held(client)).toEqual(['a/2', 'a/3']);
    expect(await conserved(client)).toBe('balanced, 2 held');
    await client.query(
      'set role iu_core_owner; update iu_route_delivery set due_at = clock_timestamp(); reset role',
    );
    expect(await deliver()).toEqual(['a/1']);
    expect(await deliver()).toEqual(['a/2']);
    expect(await deliver()).toEqual(['a/3']);
    expect((await told()).filter((each) => each.startsWith('a'))).toEqual([
      'a/1 failed',
      'a/1 sent #2',
      'a/2 sent',
      'a/3 sent',
    ]);
    expect(await conserved(client)).toBe('balanced');
  });

  test('a dead letter blocks its subject, and nobody else; its replay that is delivered lets the followers go', async () => {
    await emitted('a', 'a', 'a', 'b', 'b');
    await runWorker(client);
    const lease = await claim(client);
    const [a, b] = lease.events;
    await settleWith(client, lease.token, [
      { event_id: a, ...DEAD },
      { event_id: b, ...SENT },
    ]);
    expect(await waiting()).toEqual(['b/2']);
    await runWorker(client);
    expect(await held(client)).toEqual(['a/2', 'a/3']);
    await client.query(
      `select fn_iu_route_dead_letter_replay(dead_letter_id, 'me', 'a test') from iu_route_dead_letter`,
    );
    expect(await waiting()).toEqual(['a/1', 'b/2']);
    await runWorker(client);
    expect(await held(client)).toEqual(['a/2', 'a/3']);
    expect(await deliver()).toEqual(['a/1', 'b/2']);
    expect(await deliver()).toEqual(['a/2']);
    expect(await deliver()).toEqual(['a/3']);
    expect(await conserved(client)).toBe('balanced');
  });

  test('with `skip` the settling of the dead letter lets the next one go, which says so', async () => {
    await change(`after_dead_letter = 'skip'`);
    await emitted('a', 'a', 'a');
    await runWorker(client);
    expect(await deliver(DEAD)).toEqual(['a/1']);
    expect(await deliver()).toEqual(['a/2']);
    expect(await deliver()).toEqual(['a/3']);
    expect(await told()).toEqual(['a/1 failed', 'a/2 sent past a dead letter', 'a/3 sent']);
  });

  test('a discarded letter is passed over by the next run', async () => {
    await emitted('a', 'a');
    await runWorker(client);
    await deliver(DEAD);
    await runWorker(client);
    expect(await waiting()).toEqual([]);
    await client.query(
      `update iu_route_dead_letter set state = 'discarded', state_actor = 'me', state_reason = 'known', state_at = now()`,
    );
    await runWorker(client);
    expect(await deliver()).toEqual(['a/2']);
    expect(await told()).toEqual(['a/1 failed', 'a/2 sent past a dead letter']);
  });

  test.each([
    ['a gate is closed', `update dot_config set value = 'false' where key = 'iu_core.route_worker_enabled'`],
    ['the worker rests', `update iu_route_worker_cursor set paused_because = 'a test'`],
  ])('while %s a settling queues no follower; afterwards a run does', async (_, rest) => {
    await emitted('a', 'a');
    await runWorker(client);
    const lease = await claim(client);
    await client.query(rest);
    expect(await settle(client, lease)).toMatchObject({ settled: 1 });
    expect(await waiting()).toEqual([]);
    await setConfig(client, 'route_worker_enabled', 'true');
    await client.query('update iu_route_worker_cursor set paused_because = null');
    await runWorker(client);
    expect(await deliver()).toEqual(['a/2']);
  });

  test('while a run has the cursor, a settling does not wait for it and leaves the followers to it', async () => {
    await emitted('a', 'a');
    await runWorker(client);
    const lease = await claim(client);
    const other = await database.connect();
    await other.query('begin; select from iu_route_worker_cursor for update');
    await client.query(`set lock_timeout = '2s'`);
    expect(await settle(client, lease)).toMatchObject({ settled: 1 });
    await other.query('rollback');
    expect(await waiting()).toEqual([]);
    await runWorker(client);
    expect(await waiting()).toEqual(['a/2']);
  });

  test('behind a closed delivery gate the subject is blocked in order, and released in order', async () => {
    await setConfig(client, 'delivery_enabled', 'false');
    await emitted('a', 'a');
    await runWorker(client);
    expect(await told()).toEqual(['a/1 blocked']);
    expect(await held(client)).toEqual(['a/2']);
    await setConfig(client, 'delivery_enabled', 'true');
    await client.query(`select fn_iu_route_blocked_release('iu_outbound_default', 10, 'me', 'a test')`);
    await runWorker(client);
    expect(await waiting()).toEqual(['a/1']);
    expect(await deliver()).toEqual(['a/1']);
    expect(await deliver()).toEqual(['a/2']);
    expect(await told()).toEqual(['a/1 blocked', 'a/1 sent #2', 'a/2 sent']);
    expect(await conserved(client)).toBe('balanced');
  });

  test('a settling calls no function of another route, and lets only those go that stand behind what it settled', async () => {
    await buildApp(client);
    await functionRoute(client, 'calls', { ordered: true, type: 'called', after: 'block' });
    const call = (payload: object) =>
      client.query(`select fn_iu_emit_event('iu', 'called', 'c', null, $1, 'a test')`, [
        JSON.stringify(payload),
      ]);
    await call({ n: 1, does: 'raises' });
    await call({ n: 2, does: 'sleeps' });
    await emitted('a', 'a', 'b', 'b');
    await runWorker(client);
    await client.query(
      `update iu_route_dead_letter set state = 'discarded', state_actor = 'me', state_reason = 'known', state_at = now()`,
    );
    const lease = await claim(client, 1);
    await client.query(`set statement_timeout = '10s'`);
    expect(await settle(client, lease)).toMatchObject({ settled: 1, sent: 1 });
    expect(await effects(client)).toEqual([]);
    expect(await waiting()).toEqual(['a/2', 'b/1']);
    expect(
      await ask(client, `select count(*)::int as answer from iu_route_held where route_code = 'calls'`),
    ).toBe(1);
  });

  test('a recall of what is queued lets its followers go as the route is now', async () => {
    await emitted('a', 'a');
    await runWorker(client);
    await change('dry_run = true');
    await recall(client);
    await runWorker(client);
    expect(await told()).toEqual(['a/1 dry_run', 'a/2 dry_run']);
    expect(await conserved(client)).toBe('balanced');
  });

  test('200 events of 4 subjects, claimed 3 at a time with failures in between, come in order', async () => {
    await emitted(...Array.from({ length: 200 }, (_, at) => `s${at % 4}`));
    await runWorker(client, 200);
    const came = new Map<string, number>();
    for (let round = 0, left = 200; left > 0; round += 1) {
      const lease = await claim(client, 3);
      const outcomes = lease.events.map((event_id, at) => ({
        event_id,
        ...((round + at) % 5 === 0 ? AGAIN : SENT),
      }));
      const { rows } = await client.query<{ id: string; subject: string; seq: number }>(
        'select id, event_subject as subject, subject_seq::int as seq from event_outbox where id = any ($1)',
        [lease.events],
      );
      expect(new Set(rows.map((row) => row.subject)).size).toBe(rows.length);
      for (const { id, subject, seq } of rows) {
        expect(seq).toBe((came.get(subject) ?? 0) + 1);
        if (outcomes.find((one) => one.event_id === id)?.status === 'sent') came.set(subject, seq);
      }
      left -= (await settleWith(client, lease.token, outcomes)).sent;
      expect(round).toBeLessThan(300);
    }
    expect([...came.values()]).toEqual([50, 50, 50, 50]);
    expect(await conserved(client)).toBe('balanced');
  });
});
