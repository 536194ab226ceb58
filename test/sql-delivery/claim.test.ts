import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { installed } from '../sql-worker/support/installed.ts';
import { ask, runWorker, sqlstateOf } from '../sql-worker/support/worker.ts';
import type { TestDatabase } from '../support/create-database.ts';
import {
  AGAIN,
  allow,
  attempts,
  claim,
  conservedQueue,
  DEAD,
  endLeases,
  KINDS,
  letters,
  liveRoute,
  queue,
  queued,
  ROUTE,
  setConfig,
  settle,
  TOKEN_MS,
  tell,
  work,
} from './support/deliveries.ts';

describe.each([15, 18] as const)('a claim of deliveries on PostgreSQL %i', (major) => {
  let database: TestDatabase;
  let client: pg.Client;
  beforeEach(async () => {
    database = await installed(major, 'delivering');
    client = await database.connect();
    await liveRoute(client);
  });
  afterEach(async () => {
    await database.drop();
  });
  const told = async (count = 1, payload: object = {}) => {
    const ids = await tell(client, count, payload);
    await runWorker(client);
    return ids;
  };
  const change = (what: string) =>
    client.query(`update iu_outbound_route set ${what} where route_code = '${ROUTE}'`);

  test('answers what the target is given, with the payload as its own text, to the last digit', async () => {
    const [event] = await told();
    await client.query(
      `insert into event_outbox (event_domain, event_type, event_subject, payload, actor)
       values ('iu', 'told', 'big', '{"n": 123456789012345678901234567890.10, "text": "ü\\u2028"}', 'a test')`,
    );
    await runWorker(client);
    const { rows } = await claim(client);
    const [first, second] = rows;
    expect(first).toMatchObject({ event_id: event, attempt_no: 1, tries: 0, payload: '{}', body: null });
    expect(first?.request).toEqual({
      route_code: ROUTE,
      event_ref: event,
      target_kind: 'external_endpoint',
      target_ref: 'https://receiver.example/in',
      idempotency_key: `${event}:${ROUTE}`,
      event: {
        domain: 'iu',
        type: 'told',
        subject: 's1',
        subject_seq: null,
        created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/),
      },
    });
    expect(second?.payload).toContain('123456789012345678901234567890.10');
    expect(second?.payload).toContain('ü\u2028');
  });

  test('takes the longest due first, no more than it asks for, and nothing that is due later', async () => {
    const [a, b, c, d] = await told(4);
    const due = (event: string | undefined, after: string) =>
      client.query(
        'update iu_route_delivery set due_at = clock_timestamp() + $2::interval where event_id = $1',
        [event, after],
      );
    await due(a, '-1 s');
    await due(b, '-3 s');
    await due(c, '1 h');
    await due(d, '-2 s');
    expect((await claim(client, 2)).events).toEqual([b, d]);
    expect((await claim(client, 2)).events).toEqual([a]);
    expect((await claim(client, 2)).events).toEqual([]);
    await due(c, '-1 s');
    expect((await claim(client, 2)).events).toEqual([c]);
  });

  const BAD: readonly (readonly [
    what: string,
    asked: NonNullable<Parameters<typeof claim>[2]> & { limit?: number | null },
  ])[] = [
    ['no limit', { limit: null }],
    ['limit 0', { limit: 0 }],
    ['a limit below 0', { limit: -1 }],
    ['more than the configured batch', { limit: 5001 }],
    ['a lease under a second', { leaseMs: 999 }],
    ['a lease over an hour', { leaseMs: 3_600_001 }],
    ['no lease', { leaseMs: null }],
    ['no token', { token: null }],
    ['a nameless worker', { worker: ' ' }],
    ['no worker', { worker: null }],
  ];
  test.each(BAD)('with %s it is refused and takes nothing', async (_, { limit = 1, ...more }) => {
    await told();
    expect(await sqlstateOf(claim(client, limit, more))).toBe('SL008');
    expect(await queue(client)).toEqual(['s1 #1 after 0']);
    expect((await claim(client, 5000)).rows).toHaveLength(1);
  });

  test('a token that was used before is refused, and takes nothing', async () => {
    await told(2);
    const first = await claim(client, 1);
    expect(await sqlstateOf(claim(client, 1, { token: first.token }))).toBe('23505');
    expect((await claim(client)).rows).toHaveLength(1);
  });

  test('passes over rows that another open claim has, without waiting', async () => {
    const [a, b] = await told(2);
    const other = await database.connect();
    await other.query('begin');
    expect((await claim(other, 1)).events).toEqual([a]);
    await client.query(`set lock_timeout = '2s'`);
    expect((await claim(client)).events).toEqual([b]);
    await other.query('rollback');
    expect((await claim(client)).events).toEqual([a]);
  });

  describe('while a lease is held', () => {
    test('its deliveries are not claimed; over, given back or renewed, it counts as it is now', async () => {
      const ids = await told(2);
      const first = await claim(client);
      expect((await claim(client)).events).toEqual([]);
      expect(await work(client)).toMatchObject({ routes: [{ state: 'later' }] });
      await endLeases(client);
      expect(await work(client)).toMatchObject({ routes: [{ state: 'ready' }] });
      const second = await claim(client);
      expect(second.events).toEqual(ids);
      expect(second.rows.map((row) => [row.attempt_no, row.tries])).toEqual([
        [1, 0],
        [1, 0],
      ]);
      const renew = (tokens: string[]) =>
        ask<string[]>(client, 'select fn_iu_route_delivery_renew($1, $2) as answer', [tokens, 600_000]);
      expect(await renew([first.token, second.token, randomUUID()])).toEqual([second.token]);
      expect(
        await ask(
          client,
          `select leased_until > clock_timestamp() + interval '9 min' as answer from iu_route_lease where lease_token = $1`,
          [second.token],
        ),
      ).toBe(true);
      expect((await claim(client)).events).toEqual([]);
      const give = (tokens: string[]) =>
        ask<number>(client, 'select fn_iu_route_delivery_return($1) as answer', [tokens]);
      expect(await give([second.token, randomUUID()])).toBe(1);
      expect(await give([second.token])).toBe(0);
      expect((await claim(client)).events).toEqual(ids);
      expect(await attempts(client)).toEqual([]);
    });

    test('an empty claim leaves no lease, and one that ended long ago is tidied away by the next claim', async () => {
      const leases = () => ask<number>(client, 'select count(*)::int as answer from iu_route_lease');
      await claim(client);
      expect(await leases()).toBe(0);
      await told(2);
      await claim(client, 1);
      await client.query(`update iu_route_lease set leased_until = clock_timestamp() - interval '61 min'`);
      await claim(client, 1);
      expect(await leases()).toBe(1);
    });
  });

  describe('takes nothing and changes nothing', () => {
    beforeEach(async () => {
      await told();
    });
    const nothing = async () => {
      const before = await client.query('select * from iu_route_delivery');
      expect((await claim(client)).events).toEqual([]);
      expect((await client.query('select * from iu_route_delivery')).rows).toEqual(before.rows);
      expect(await ask(client, 'select count(*)::int as answer from iu_route_lease')).toBe(0);
      expect(await conservedQueue(client)).toBe('balanced, 1 queued');
    };

    test.each([
      ['outbound_enabled', 'master_gate_closed'],
      ['route_worker_enabled', 'worker_gate_closed'],
      ['delivery_enabled', 'delivery_gate_closed'],
    ])('while %s is not exactly true', async (key, status) => {
      for (const value of ['false', 'TRUE', ' true', '']) {
        await setConfig(client, key, value);
        await nothing();
        expect((await work(client)).status).toBe(status);
      }
      await setConfig(client, key, 'true');
      expect((await work(client)).status).toBe('open');
      expect((await claim(client)).rows).toHaveLength(1);
    });

    test.each([
      ['is disabled', 'enabled = false', 'enabled = true'],
      ['is in dry run', 'dry_run = true', 'dry_run = false'],
    ])('while the route %s', async (_, off, on) => {
      await change(off);
      await nothing();
      expect((await work(client)).routes).toMatchObject([{ state: 'not_live' }]);
      await change(on);
      expect((await work(client)).routes).toMatchObject([{ state: 'ready' }]);
      expect((await claim(client)).rows).toHaveLength(1);
    });

    test('while the list does not name the route', async () => {
      await setConfig(client, 'delivery_live_routes', 'outer, ou, out2');
      await nothing();
      expect((await work(client)).routes).toMatchObject([{ state: 'not_live' }]);
      await allow(client, ROUTE);
      expect((await claim(client)).rows).toHaveLength(1);
    });

    test('while a gate is being closed', async () => {
      const closer = await database.connect();
      await closer.query('begin; select pg_advisory_xact_lock(fn_iu_worker_lock_key())');
      await nothing();
      expect((await work(client)).status).toBe('gate_closing');
      await closer.query('rollback');
      expect((await claim(client)).rows).toHaveLength(1);
    });

    test('of another route', async () => {
      expect((await claim(client, 1, { route: 'other' })).events).toEqual([]);
      expect(await queued(client)).toBe(1);
    });

    test('under REPEATABLE READ and above: it is refused', async () => {
      for (const level of ['repeatable read', 'serializable']) {
        await client.query(`begin isolation level ${level}`);
        expect(await sqlstateOf(claim(client))).toBe('SL008');
        await client.query('rollback');
        await client.query(`begin isolation level ${level}`);
        expect(await sqlstateOf(work(client))).toBe('SL008');
        await client.query('rollback');
      }
      expect((await claim(client)).rows).toHaveLength(1);
    });
  });

  test('gives the target as it is now; bytes that were kept stay with the kind they were made for', async () => {
    await told(2);
    const lease = await claim(client);
    const body = Buffer.from('the same bytes');
    await settle(client, lease, { ...AGAIN, body: body.toString('base64'), body_sha256: 'a'.repeat(64) });
    await change(`target_ref = 'https://moved.example/'`);
    const [moved] = (await claim(client, 1)).rows;
    expect(moved?.request).toMatchObject({
      target_kind: 'external_endpoint',
      target_ref: 'https://moved.example/',
      idempotency_key: `${moved?.event_id}:${ROUTE}`,
    });
    expect(moved).toMatchObject({ attempt_no: 2, tries: 1, body });

    await change(`target_kind = 'report', target_ref = 'daily'`);
    const other = await claim(client, 1);
    expect(other.rows[0]).toMatchObject({ attempt_no: 2, tries: 1, body: null });
    expect(other.rows[0]?.request).toMatchObject({ target_kind: 'report', target_ref: 'daily' });
    // What is sent now is other bytes, and their hash is told, not that of the first ones.
    await settle(client, other, {
      ...AGAIN,
      body: Buffer.from('others').toString('base64'),
      body_sha256: 'b'.repeat(64),
    });
    expect(
      await ask(
        client,
        `select jsonb_build_object('body', convert_from(body, 'utf8'), 'hash', left(body_sha256, 1), 'told', (
           select left(detail ->> 'body_sha256', 1) || ' ' || target_kind || ' ' || target_ref
           from iu_route_attempt where event_id = iu_route_delivery.event_id and attempt_no = 2)) as answer
         from iu_route_delivery where target_kind = 'report'`,
      ),
    ).toEqual({ body: 'others', hash: 'b', told: 'b report daily' });
  });

  describe('of a route that was deleted', () => {
    beforeEach(async () => {
      await told(3);
    });

    test('makes dead letters, and none while somebody delivers', async () => {
      const lease = await claim(client, 1);
      await client.query('delete from iu_outbound_route where route_code = $1', [ROUTE]);
      expect((await work(client)).routes).toMatchObject([{ state: 'removed', target_kind: null }]);
      expect((await claim(client, 1)).events).toEqual([]);
      expect(await queued(client)).toBe(2);
      expect((await claim(client)).events).toEqual([]);
      expect(await queued(client)).toBe(1);
      expect(await letters(client)).toEqual([
        'open route_removed, 0 replays',
        'open route_removed, 0 replays',
      ]);
      expect(await settle(client, lease)).toMatchObject({ settled: 1, sent: 1 });
      expect(await attempts(client)).toEqual([
        'sent #1 delivered',
        'failed #1 route_removed',
        'failed #1 route_removed',
      ]);
      expect(await conservedQueue(client)).toBe('balanced');
      expect((await work(client)).routes).toEqual([]);
    });

    test('also of what is retried: the attempt that it tells of is the next one', async () => {
      await settle(client, await claim(client), AGAIN);
      await client.query('delete from iu_outbound_route where route_code = $1', [ROUTE]);
      await claim(client);
      expect(await attempts(client)).toEqual(
        [1, 2, 3].flatMap(() => ['failed #1 http_503', 'failed #2 route_removed']),
      );
      expect(await conservedQueue(client)).toBe('balanced');
    });

    test('a letter that was discarded meanwhile keeps its state and stands in nobody’s way', async () => {
      await settle(client, await claim(client, 1), DEAD);
      const letter = await ask<string>(client, 'select dead_letter_id as answer from iu_route_dead_letter');
      await client.query(`select fn_iu_route_dead_letter_replay($1, 'me', 'a test')`, [letter]);
      await client.query(
        `update iu_route_dead_letter set state = 'discarded', state_actor = 'me', state_reason = 'known', state_at = now()`,
      );
      await client.query('delete from iu_outbound_route where route_code = $1', [ROUTE]);
      await claim(client);
      expect(await queued(client)).toBe(0);
      expect((await letters(client)).toSorted()).toEqual([
        'discarded http_400, 0 replays',
        'open route_removed, 0 replays',
        'open route_removed, 0 replays',
      ]);
    });
  });

  test('what is to be done is told for each route, in the words of the activity', async () => {
    await liveRoute(client, 'second', { kind: 'report', ref: 'daily' });
    expect((await work(client)).routes).toEqual([]);
    await told();
    expect((await work(client)).routes).toEqual([
      {
        route_code: ROUTE,
        target_kind: 'external_endpoint',
        target_ref: 'https://receiver.example/in',
        config: {},
        state: 'ready',
        due_in_ms: 0,
      },
      {
        route_code: 'second',
        target_kind: 'report',
        target_ref: 'daily',
        config: {},
        state: 'ready',
        due_in_ms: 0,
      },
    ]);
    expect((await work(client, ['report'])).routes).toMatchObject([{ state: 'unbuilt' }, { state: 'ready' }]);
    expect((await work(client, [])).routes).toMatchObject([{ state: 'unbuilt' }, { state: 'unbuilt' }]);
    await settle(client, await claim(client), { ...AGAIN, retry_ms: 90_000 });
    const [later] = (await work(client, KINDS)).routes;
    expect(later?.state).toBe('later');
    expect(later?.due_in_ms).toBeGreaterThan(30_000);
    expect(later?.due_in_ms).toBeLessThanOrEqual(90_000);
    expect(TOKEN_MS).toBeLessThan(90_000);
  });
});
