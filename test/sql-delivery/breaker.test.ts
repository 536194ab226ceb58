import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { installed } from '../sql-worker/support/installed.ts';
import { ask, runWorker, sqlstateOf, until } from '../sql-worker/support/worker.ts';
import type { TestDatabase } from '../support/create-database.ts';
import {
  AGAIN,
  attempts,
  claim,
  conservedQueue,
  DEAD,
  type Lease,
  liveRoute,
  queue,
  ROUTE,
  SENT,
  setConfig,
  settle,
  settleWith,
  tell,
  work,
} from './support/deliveries.ts';

/** Failed, and due again after the test. */
const LATER = { ...AGAIN, retry_ms: 3_600_000 };

interface Breaker {
  readonly state: string;
  readonly first_tries: number;
  readonly first_failures: number;
  readonly wait_seconds: number;
}

describe.each([15, 18] as const)('the breaker of a route on PostgreSQL %i', (major) => {
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
  const breaker = () =>
    ask<Breaker>(
      client,
      `select jsonb_build_object('state', state, 'first_tries', first_tries, 'first_failures', first_failures,
         'wait_seconds', wait_seconds) as answer from iu_route_breaker where route_code = '${ROUTE}'`,
    );
  const claimed = async (count: number): Promise<Lease> => {
    await tell(client, count);
    await runWorker(client);
    return claim(client, count);
  };
  /** Settles so many first tries as failed, the others as sent, in one set. */
  const tried = async (failures: number, of: number, outcome: object = AGAIN) => {
    const lease = await claimed(of);
    return settleWith(
      client,
      lease.token,
      lease.events.map((event_id, at) => ({
        event_id,
        ...(at < failures ? { ...outcome, retry_ms: 3_600_000 } : SENT),
      })),
    );
  };
  const asOwner = async (sql: string) => {
    await client.query('set role iu_core_owner');
    await client.query(sql);
    await client.query('reset role');
  };
  /** Lets the time come at which a probe may go. */
  const probeNow = () =>
    asOwner(`update iu_route_breaker set probe_at = clock_timestamp() where state <> 'closed'`);
  const opened = async () => {
    expect((await tried(10, 10)).breaker).toBe('open');
    await tell(client, 3);
    await runWorker(client);
  };

  describe('opens', () => {
    test.each([
      [9, 9, 'closed'],
      [6, 10, 'closed'],
      [7, 10, 'open'],
      [10, 10, 'open'],
      [69, 100, 'closed'],
      [70, 100, 'open'],
    ])('with %i failures of %i first tries: %s', async (failures, of, state) => {
      expect((await tried(failures, of)).breaker).toBe(state);
      expect(await breaker()).toMatchObject({ state, first_tries: of, first_failures: failures });
    });

    test('over several settlings of one window, and by its configured limits', async () => {
      await setConfig(client, 'delivery_breaker_min_tries', '4');
      await setConfig(client, 'delivery_breaker_percent', '50');
      expect((await tried(1, 3)).breaker).toBe('closed');
      expect((await tried(1, 1)).breaker).toBe('open');
      expect(await breaker()).toMatchObject({ first_tries: 4, first_failures: 2, wait_seconds: 30 });
    });

    test('not by retries: only the first try of each delivery counts', async () => {
      const lease = await claimed(9);
      await settle(client, lease, AGAIN);
      for (let round = 0; round < 3; round += 1) await settle(client, await claim(client), AGAIN);
      await settle(client, await claim(client));
      expect(await breaker()).toEqual({
        state: 'closed',
        first_tries: 9,
        first_failures: 9,
        wait_seconds: 0,
      });
      expect((await tried(1, 1)).breaker).toBe('open');
    });

    test.each(['payload_too_large', 'request_invalid'])(
      'not by %s, which tells nothing about the target',
      async (code) => {
        expect((await tried(20, 20, { ...DEAD, code })).breaker).toBe('closed');
        expect(await breaker()).toMatchObject({ first_tries: 0, first_failures: 0 });
      },
    );

    test('not by what a stolen lease reports', async () => {
      const lease = await claimed(20);
      await client.query(`update iu_route_lease set leased_until = clock_timestamp() - interval '1 ms'`);
      await claim(client);
      expect((await settle(client, lease, AGAIN)).breaker).toBe('closed');
      expect(await ask(client, 'select count(*)::int as answer from iu_route_breaker')).toBe(0);
    });

    test('not over the edge of a window, which begins anew', async () => {
      await tried(9, 9);
      await asOwner(`update iu_route_breaker set window_started_at = clock_timestamp() - interval '61 s'`);
      expect((await tried(1, 1)).breaker).toBe('closed');
      expect(await breaker()).toMatchObject({ first_tries: 1, first_failures: 1 });
    });

    test('a limit that is not configured fails the settling, and nothing of it is written', async () => {
      const lease = await claimed(1);
      await setConfig(client, 'delivery_breaker_percent', 'most');
      expect(await sqlstateOf(settle(client, lease))).toBe('F0000');
      expect(await attempts(client)).toEqual([]);
      await setConfig(client, 'delivery_breaker_percent', '70');
      expect((await settle(client, lease)).settled).toBe(1);
    });
  });

  describe('open', () => {
    beforeEach(opened);

    test('claims nothing, uses up no attempt number, and says when the probe may go', async () => {
      const before = await queue(client);
      for (let round = 0; round < 3; round += 1) expect((await claim(client)).events).toEqual([]);
      expect(await queue(client)).toEqual(before);
      const [entry] = (await work(client)).routes;
      expect(entry?.state).toBe('breaker_open');
      expect(entry?.due_in_ms).toBeGreaterThan(0);
      expect(entry?.due_in_ms).toBeLessThanOrEqual(30_000);
      expect(await attempts(client)).toHaveLength(10);
      expect(await conservedQueue(client)).toBe('balanced, 3 queued');
    });

    test('another route is not affected', async () => {
      await liveRoute(client, 'healthy');
      await tell(client, 2);
      await runWorker(client);
      expect((await claim(client, 100, { route: 'healthy' })).rows).toHaveLength(2);
    });

    test('what was under way when it opened is settled, and does not close it', async () => {
      await asOwner('delete from iu_route_breaker');
      const straggler = await claim(client, 2);
      await tried(10, 10);
      expect((await settle(client, straggler)).breaker).toBe('open');
      expect((await claim(client)).events).toEqual([]);
    });
  });

  describe('half open', () => {
    beforeEach(async () => {
      await opened();
      await probeNow();
    });

    test('lets exactly one go, the longest due', async () => {
      expect((await work(client)).routes).toMatchObject([{ state: 'half_open' }]);
      const probe = await claim(client);
      expect(probe.rows).toMatchObject([{ attempt_no: 1 }]);
      expect((await breaker()).state).toBe('half_open');
      expect((await claim(client)).events).toEqual([]);
      expect((await work(client)).routes).toMatchObject([{ state: 'breaker_open' }]);
    });

    test('two that claim at once get one between them', async () => {
      const other = await database.connect();
      const pid = await ask<number>(other, 'select pg_backend_pid() as answer');
      await client.query('begin');
      expect((await claim(client)).rows).toHaveLength(1);
      const second = claim(other);
      await until(client, 'select cardinality(pg_blocking_pids($1)) > 0 as answer', [pid]);
      await client.query('commit');
      expect((await second).events).toEqual([]);
    });

    test('one whose claim is rolled back leaves the probe to the next', async () => {
      await client.query('begin');
      await claim(client);
      await client.query('rollback');
      expect((await claim(client)).rows).toHaveLength(1);
    });

    test('a success closes it, and everything goes again with a new window', async () => {
      const probe = await claim(client);
      expect((await settle(client, probe)).breaker).toBe('closed');
      expect(await breaker()).toEqual({
        state: 'closed',
        first_tries: 1,
        first_failures: 0,
        wait_seconds: 0,
      });
      expect((await claim(client)).rows).toHaveLength(2);
    });

    test('a failure opens it again for twice as long, up to the maximum; a success starts over', async () => {
      await setConfig(client, 'delivery_breaker_max_wait_seconds', '200');
      await tell(client, 3);
      await runWorker(client);
      for (const wait of [60, 120, 200, 200]) {
        await probeNow();
        expect((await settle(client, await claim(client), LATER)).breaker).toBe('open');
        expect((await breaker()).wait_seconds).toBe(wait);
        expect(
          await ask(
            client,
            `select round(extract(epoch from probe_at - opened_at))::int as answer from iu_route_breaker`,
          ),
        ).toBe(wait);
        expect((await claim(client)).events).toEqual([]);
      }
      await probeNow();
      await settle(client, await claim(client));
      expect((await tried(10, 10)).breaker).toBe('open');
      expect((await breaker()).wait_seconds).toBe(30);
    });

    test('a probe that is a retry counts, too', async () => {
      await asOwner(`update iu_route_delivery set due_at = 'infinity' where tries = 0;
        update iu_route_delivery set due_at = clock_timestamp() where tries > 0`);
      const probe = await claim(client);
      expect(probe.rows).toMatchObject([{ attempt_no: 2, tries: 1 }]);
      expect((await settle(client, probe, AGAIN)).breaker).toBe('open');
      await probeNow();
      expect((await settle(client, await claim(client))).breaker).toBe('closed');
    });

    test('a probe that nobody settles counts as lost when its lease is over, and the next one may go', async () => {
      const lost = await claim(client, 100, { leaseMs: 1_000 });
      expect(lost.rows).toHaveLength(1);
      expect((await claim(client)).events).toEqual([]);
      await until(client, 'select probe_at <= clock_timestamp() as answer from iu_route_breaker');
      const next = await claim(client);
      expect(next.rows).toHaveLength(1);
      expect((await settle(client, next)).breaker).toBe('closed');
    });
  });
});
