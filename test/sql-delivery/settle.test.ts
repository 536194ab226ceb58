import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { installed } from '../sql-worker/support/installed.ts';
import { oldEvent, oldPartition } from '../sql-worker/support/partitions.ts';
import { ask, runWorker, sqlstateOf } from '../sql-worker/support/worker.ts';
import type { TestDatabase } from '../support/create-database.ts';
import {
  AGAIN,
  attempts,
  claim,
  conservedQueue,
  DEAD,
  endLeases,
  letters,
  liveRoute,
  queue,
  queued,
  ROUTE,
  SENT,
  SKIPPED,
  setConfig,
  settle,
  settleWith,
  tell,
} from './support/deliveries.ts';

describe.each([15, 18] as const)('settling deliveries on PostgreSQL %i', (major) => {
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
  const claimed = async (count = 1) => {
    await tell(client, count);
    await runWorker(client);
    return claim(client);
  };
  const counts = {
    settled: 0,
    sent: 0,
    skipped: 0,
    retried: 0,
    dead_lettered: 0,
    refused: 0,
    route_disabled: false,
  };
  const replay = async () =>
    ask<{ status: string; decision: string | null; attempt_no: number | null }>(
      client,
      `select fn_iu_route_dead_letter_replay(
         (select dead_letter_id from iu_route_dead_letter where state in ('open', 'parked')), 'me', 'a second try') as answer`,
    );
  const detail = (attemptNo = 1) =>
    ask<object>(client, 'select detail as answer from iu_route_attempt where attempt_no = $1', [attemptNo]);
  const discard = (state = 'discarded') =>
    client.query(
      `update iu_route_dead_letter set state = $1, state_actor = 'me', state_reason = 'known', state_at = now()`,
      [state],
    );

  test('every outcome has its attempt and leaves the queue as it should, all at once', async () => {
    const lease = await claimed(5);
    const [a, b, c, d] = lease.events;
    expect(
      await settleWith(client, lease.token, [
        { event_id: a, ...SENT, detail: { status: 202 } },
        { event_id: b, ...SKIPPED, detail: { because: 'older' } },
        { event_id: c, ...AGAIN, retry_ms: 60_000 },
        { event_id: d, ...DEAD },
      ]),
    ).toEqual({
      ...counts,
      settled: 4,
      sent: 1,
      skipped: 1,
      retried: 1,
      dead_lettered: 1,
      breaker: 'closed',
    });
    expect(await attempts(client)).toEqual([
      'sent #1 delivered',
      'skipped #1',
      'failed #1 http_503',
      'failed #1 http_400',
    ]);
    expect(await queue(client)).toEqual(['s3 #2 after 1', 's5 #1 after 0 leased']);
    expect(
      await ask(
        client,
        `select due_at between clock_timestamp() + interval '30 s' and clock_timestamp() + interval '60 s' as answer
         from iu_route_delivery where event_id = $1`,
        [c],
      ),
    ).toBe(true);
    expect(await letters(client)).toEqual(['open http_400, 0 replays']);
    expect(await conservedQueue(client)).toBe('balanced, 1 queued');
    expect(
      await ask(client, `select jsonb_agg(detail order by event_id) as answer from iu_route_attempt`),
    ).toEqual([{ status: 202 }, { because: 'older' }, { message: 'Answer 503' }, { message: 'Answer 400' }]);
  });

  test('an attempt carries the target that was really tried, and sent without delivered is told as such', async () => {
    const lease = await claimed();
    await client.query(
      `update iu_outbound_route set target_ref = 'https://later.example/' where route_code = $1`,
      [ROUTE],
    );
    await settle(client, lease, { status: 'sent' });
    expect(
      await ask(
        client,
        `select array[target_kind, target_ref, delivered::text] as answer from iu_route_attempt`,
      ),
    ).toEqual(['external_endpoint', 'https://receiver.example/in', 'false']);
  });

  test('a letter holds the event, the route and exactly the attempt of the audit', async () => {
    await settle(client, await claimed(), { ...DEAD, detail: { excerpt: 'no' } });
    expect(
      await ask(
        client,
        `select jsonb_build_object(
           'event', iu_route_dead_letter.event = to_jsonb(event_outbox),
           'route', iu_route_dead_letter.route = to_jsonb(iu_outbound_route),
           'attempt', iu_route_dead_letter.last_attempt = to_jsonb(iu_route_attempt),
           'detail', failure_detail,
           'fingerprint', fingerprint ~ '^[0-9a-f]{16}$') as answer
         from iu_route_dead_letter
         join event_outbox on event_outbox.id = iu_route_dead_letter.event_id
         join iu_outbound_route using (route_code)
         join iu_route_attempt using (idempotency_key)`,
      ),
    ).toEqual({
      event: true,
      route: true,
      attempt: true,
      detail: { excerpt: 'no', message: 'Answer 400' },
      fingerprint: true,
    });
  });

  describe('is fenced by the lease:', () => {
    test('a token that was stolen after its lease was over writes nothing; the thief settles', async () => {
      const first = await claimed(2);
      await endLeases(client);
      const second = await claim(client);
      const before = await client.query('select * from iu_route_delivery order by event_id');
      expect(await settle(client, first)).toEqual({ ...counts, refused: 2, breaker: 'closed' });
      expect(await settle(client, first, DEAD)).toMatchObject({ settled: 0, refused: 2 });
      expect((await client.query('select * from iu_route_delivery order by event_id')).rows).toEqual(
        before.rows,
      );
      expect(await attempts(client)).toEqual([]);
      expect(await letters(client)).toEqual([]);
      expect(await ask(client, 'select count(*)::int as answer from iu_route_breaker')).toBe(0);
      expect(await settle(client, second)).toMatchObject({ settled: 2, refused: 0 });
    });

    test('a lease that is over but that nobody took since still settles: what was done is recorded', async () => {
      const lease = await claimed();
      await endLeases(client);
      expect(await settle(client, lease)).toMatchObject({ settled: 1 });
      const other = await claimed();
      await client.query('select fn_iu_route_delivery_return($1)', [[other.token]]);
      expect(await settle(client, other)).toMatchObject({ settled: 1 });
    });

    test('repeating a settling writes nothing twice, whatever its outcome was', async () => {
      for (const outcome of [SENT, SKIPPED, AGAIN, DEAD]) {
        const lease = await claimed(2);
        await settle(client, lease, outcome);
        const before = await attempts(client);
        expect(await settle(client, lease, outcome)).toMatchObject({
          settled: 0,
          refused: lease.events.length,
        });
        expect(await attempts(client)).toEqual(before);
      }
    });

    test('events of another claim, of another route and of nobody are refused, beside one that is right', async () => {
      await liveRoute(client, 'second');
      await tell(client, 2);
      await runWorker(client);
      const mine = await claim(client, 1);
      const others = await claim(client, 1);
      const second = await claim(client, 1, { route: 'second' });
      const outcomes = [...mine.events, ...others.events, randomUUID()].map((event_id) => ({
        event_id,
        ...SENT,
      }));
      expect(await settleWith(client, mine.token, outcomes)).toMatchObject({ settled: 1, refused: 2 });
      expect(await settleWith(client, second.token, outcomes)).toMatchObject({ settled: 0, refused: 3 });
      expect(await attempts(client)).toEqual(['sent #1 delivered']);
      expect(await attempts(client, 'second')).toEqual([]);
    });

    test.each([
      ['no token', null, []],
      ['an object for an array', randomUUID(), {}],
      ['nothing', randomUUID(), null],
    ])('%s is refused', async (_, token, outcomes) => {
      expect(await sqlstateOf(settleWith(client, token, outcomes))).toBe('22023');
    });
  });

  test.each([
    ['an unknown status', { status: 'done' }, '23502'],
    ['no status', {}, '23502'],
    ['a decision that no target makes: blocked', { status: 'blocked' }, '23502'],
    ['a decision that no target makes: dry_run', { status: 'dry_run' }, '23502'],
    ['delivered without sent', { status: 'skipped', delivered: true }, '23514'],
    ['delivered and failed', { status: 'failed', delivered: true, code: 'x', retry_ms: 1 }, '23514'],
    ['a detail that is no object', { status: 'sent', detail: [1] }, '23514'],
    ['bytes without their hash', { ...AGAIN, body: 'AAAA' }, '23514'],
  ])('%s is refused as a whole, and nothing of it is written', async (_, outcome, code) => {
    const lease = await claimed(2);
    const [good, bad] = lease.events;
    const outcomes = [
      { event_id: good, ...SENT },
      { event_id: bad, ...outcome },
    ];
    expect(await sqlstateOf(settleWith(client, lease.token, outcomes))).toBe(code);
    expect(await attempts(client)).toEqual([]);
    expect(await queue(client)).toEqual(['s1 #1 after 0 leased', 's2 #1 after 0 leased']);
    expect(await settle(client, lease)).toMatchObject({ settled: 2 });
  });

  test('an event that is named twice is refused as a whole', async () => {
    const lease = await claimed();
    const [event_id] = lease.events;
    expect(
      await sqlstateOf(
        settleWith(client, lease.token, [
          { event_id, ...SENT },
          { event_id, ...DEAD },
        ]),
      ),
    ).toBe('23505');
    const twice = [
      { event_id, ...SENT },
      { event_id, ...SENT },
    ];
    expect(await sqlstateOf(settleWith(client, lease.token, twice))).toBe('23505');
    expect(await attempts(client)).toEqual([]);
    expect(await settle(client, lease)).toMatchObject({ settled: 1 });
  });

  test('what was sent with words to it keeps them, and one that switches its route off does, beside plain ones', async () => {
    const lease = await claimed(3);
    const [a, b, c] = lease.events;
    expect(
      await settleWith(client, lease.token, [
        { event_id: a, ...SENT },
        { event_id: b, ...SENT, message: 'late' },
        { event_id: c, ...SENT, disables_route: true },
      ]),
    ).toMatchObject({ settled: 3, sent: 3, refused: 0, route_disabled: true });
    expect(
      await ask(client, `select jsonb_agg(detail order by event_id) as answer from iu_route_attempt`),
    ).toEqual([{}, { message: 'late' }, {}]);
    expect(await ask(client, 'select first_tries as answer from iu_route_breaker')).toBe(3);
    expect(await queued(client)).toBe(0);
  });

  test('the bytes of the first try are frozen: later ones and their hashes change nothing, and each attempt tells the hash', async () => {
    const first = Buffer.from([0, 1, 255]);
    await settle(client, await claimed(), {
      ...AGAIN,
      body: first.toString('base64'),
      body_sha256: 'a'.repeat(64),
    });
    const second = await claim(client);
    expect(second.rows[0]).toMatchObject({ attempt_no: 2, tries: 1, body: first });
    await settle(client, second, {
      ...AGAIN,
      body: Buffer.from('other').toString('base64'),
      body_sha256: 'b'.repeat(64),
    });
    const third = await claim(client);
    expect(third.rows[0]).toMatchObject({ attempt_no: 3, tries: 2, body: first });
    await settle(client, third);
    for (const attemptNo of [1, 2, 3])
      expect(await detail(attemptNo)).toMatchObject({ body_sha256: 'a'.repeat(64) });
    expect(await queued(client)).toBe(0);
  });

  test('a failure without a code is target_failed, and its message is cut to 2,000 characters', async () => {
    await settle(client, await claimed(), { status: 'failed', message: 'x'.repeat(5_000), retry_ms: null });
    expect(await letters(client)).toEqual(['open target_failed, 0 replays']);
    expect(await detail()).toEqual({ message: 'x'.repeat(2_000) });
  });

  test('works while every gate is closed, the route is off and its list is empty: what was done is recorded', async () => {
    const lease = await claimed(3);
    for (const gate of ['outbound_enabled', 'route_worker_enabled', 'delivery_enabled'])
      await setConfig(client, gate, 'false');
    await setConfig(client, 'delivery_live_routes', '');
    await client.query('update iu_outbound_route set enabled = false where route_code = $1', [ROUTE]);
    const closer = await database.connect();
    await closer.query('begin; select pg_advisory_xact_lock(fn_iu_worker_lock_key())');
    const [a, b, c] = lease.events;
    expect(
      await settleWith(client, lease.token, [
        { event_id: a, ...SENT },
        { event_id: b, ...AGAIN },
        { event_id: c, ...DEAD },
      ]),
    ).toMatchObject({ settled: 3, sent: 1, retried: 1, dead_lettered: 1 });
    expect(await conservedQueue(client)).toBe('balanced');
    expect((await claim(client)).events).toEqual([]);
  });

  describe('a target that is gone for good', () => {
    const GONE = { ...DEAD, code: 'http_410', disables_route: true };

    test('switches its route off, audited with who and why, and what is queued stays', async () => {
      await tell(client, 2);
      await runWorker(client);
      expect(await settle(client, await claim(client, 1), GONE)).toMatchObject({
        dead_lettered: 1,
        route_disabled: true,
      });
      expect(
        await ask(
          client,
          `select jsonb_build_object('enabled', enabled, 'by', disabled_by, 'audit', (
             select array_agg(array[actor, reason, became ->> 'enabled'] order by change_no desc)
             from iu_control_change where control = 'route' and name = route_code and was is not null)) as answer
           from iu_outbound_route where route_code = $1`,
          [ROUTE],
        ),
      ).toEqual({
        enabled: false,
        by: 'delivery: the target is gone',
        audit: [['delivery', 'the target is gone for good', 'false']],
      });
      expect((await claim(client)).events).toEqual([]);
      expect(await queue(client)).toEqual(['s2 #1 after 0']);
      expect(await letters(client)).toEqual(['open http_410, 0 replays']);
      expect(await conservedQueue(client)).toBe('balanced, 1 queued');
    });

    test('leaves a route alone that was given another target meanwhile', async () => {
      const lease = await claimed();
      await client.query(
        `update iu_outbound_route set target_ref = 'https://new.example/' where route_code = $1`,
        [ROUTE],
      );
      expect(await settle(client, lease, GONE)).toMatchObject({ dead_lettered: 1, route_disabled: false });
      expect(
        await ask(client, 'select enabled as answer from iu_outbound_route where route_code = $1', [ROUTE]),
      ).toBe(true);
    });

    test('changes nothing where the lease was stolen', async () => {
      const lease = await claimed();
      await endLeases(client);
      await claim(client);
      expect(await settle(client, lease, GONE)).toMatchObject({ refused: 1, route_disabled: false });
      expect(
        await ask(client, 'select enabled as answer from iu_outbound_route where route_code = $1', [ROUTE]),
      ).toBe(true);
    });
  });

  describe('a replayed dead letter', () => {
    beforeEach(async () => {
      await settle(client, await claimed(), DEAD);
    });

    test('is queued once under the next number, and resolved by its delivery, in the name of who asked', async () => {
      expect(await replay()).toMatchObject({ status: 'queued', decision: null, attempt_no: 2 });
      expect(await replay()).toMatchObject({ status: 'queued', attempt_no: null });
      expect(await queue(client)).toEqual(['s1 #2 after 0']);
      expect(await letters(client)).toEqual(['open http_400, 0 replays']);
      expect(await conservedQueue(client)).toBe('balanced');
      await settle(client, await claim(client));
      expect(await attempts(client)).toEqual(['failed #1 http_400', 'sent #2 delivered']);
      expect(await detail(2)).toMatchObject({ replayed_by: 'me', reason: 'a second try' });
      expect(
        await ask(
          client,
          `select jsonb_build_object('state', state, 'by', state_actor, 'why', state_reason, 'replays', replay_count,
             'last', last_attempt ->> 'attempt_no') as answer from iu_route_dead_letter`,
        ),
      ).toEqual({ state: 'resolved', by: 'me', why: 'a second try', replays: 1, last: '2' });
      expect(await conservedQueue(client)).toBe('balanced');
    });

    test('that fails again for good stays open, with its count and its newest failure; one that may be tried again waits', async () => {
      await replay();
      await settle(client, await claim(client), AGAIN);
      expect(await letters(client)).toEqual(['open http_400, 0 replays']);
      expect(await replay()).toMatchObject({ status: 'queued' });
      await settle(client, await claim(client), { ...DEAD, code: 'http_404' });
      expect(await letters(client)).toEqual(['open http_404, 1 replays']);
      expect(await attempts(client)).toEqual([
        'failed #1 http_400',
        'failed #2 http_503',
        'failed #3 http_404',
      ]);
      await replay();
      await settle(client, await claim(client));
      expect(await letters(client)).toEqual(['resolved http_404, 2 replays']);
      expect(await conservedQueue(client)).toBe('balanced');
    });

    test('of a parked letter resolves it, too', async () => {
      await discard('parked');
      await replay();
      await settle(client, await claim(client), SKIPPED);
      expect(await letters(client)).toEqual(['resolved http_400, 1 replays']);
    });

    test.each([
      ['fails for good', DEAD, 'failed #2 http_400'],
      ['is delivered', SENT, 'sent #2 delivered'],
    ])(
      'of a letter that was discarded meanwhile is recorded where it %s, and the letter stays as it is',
      async (_, outcome, told) => {
        await replay();
        const lease = await claim(client);
        await discard();
        const other = await claimed();
        expect(await settle(client, lease, outcome)).toMatchObject({ settled: 1 });
        expect(await letters(client)).toEqual(['discarded http_400, 0 replays']);
        expect((await attempts(client)).at(1)).toBe(told);
        expect(await settle(client, other)).toMatchObject({ settled: 1 });
        expect(await queued(client)).toBe(0);
        expect(await conservedQueue(client)).toBe('balanced');
      },
    );

    test('is held while the delivery gate is closed', async () => {
      await setConfig(client, 'delivery_enabled', 'false');
      expect(await replay()).toMatchObject({ status: 'delivery_gate_closed', attempt_no: null });
      expect(await queued(client)).toBe(0);
    });
  });

  test('the replay of an event that was retired counts, whether it fails or is delivered', async () => {
    const partition = await oldPartition(client, 60);
    await oldEvent(client, 60, { n: 'old' }, { type: 'told' });
    await runWorker(client);
    await settle(client, await claim(client), DEAD);
    await setConfig(client, 'retention_enabled', 'true');
    await client.query(`select fn_iu_retention_drop($1, 'me', 'a test')`, [partition]);
    expect(await replay()).toMatchObject({ status: 'queued', attempt_no: 2 });
    const lease = await claim(client);
    expect(JSON.parse(lease.rows[0]?.payload ?? '')).toEqual({ n: 'old' });
    await settle(client, lease, { ...DEAD, code: 'http_404' });
    expect(await letters(client)).toEqual(['open http_404, 1 replays']);
    await replay();
    await settle(client, await claim(client));
    expect(await letters(client)).toEqual(['resolved http_404, 2 replays']);
    expect(await attempts(client)).toEqual(['failed #2 http_404', 'sent #3 delivered']);
    expect(await conservedQueue(client)).toBe('balanced');
  });

  test('what may be tried again is tried under the next number, as often as it takes', async () => {
    await tell(client, 1);
    await runWorker(client);
    for (let tried = 0; tried < 12; tried += 1) {
      const lease = await claim(client);
      expect(lease.rows).toMatchObject([{ attempt_no: tried + 1, tries: tried }]);
      await settle(client, lease, tried < 11 ? AGAIN : SENT);
      expect(await conservedQueue(client)).toBe('balanced');
    }
    expect(await attempts(client)).toHaveLength(12);
    expect(await letters(client)).toEqual([]);
  });
});
