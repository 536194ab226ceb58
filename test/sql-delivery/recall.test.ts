import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { installed } from '../sql-worker/support/installed.ts';
import { ask, runWorker, sqlstateOf } from '../sql-worker/support/worker.ts';
import type { TestDatabase } from '../support/create-database.ts';
import {
  AGAIN,
  attempts,
  claim,
  conservedQueue,
  endLeases,
  liveRoute,
  queue,
  queued,
  ROUTE,
  recall,
  setConfig,
  settle,
  tell,
} from './support/deliveries.ts';

describe.each([15, 18] as const)('a recall of queued deliveries on PostgreSQL %i', (major) => {
  let database: TestDatabase;
  let client: pg.Client;
  beforeEach(async () => {
    database = await installed(major, 'delivering');
    client = await database.connect();
    await liveRoute(client);
    await tell(client, 3);
    await runWorker(client);
  });
  afterEach(async () => {
    await database.drop();
  });
  const turn = (what: string) =>
    client.query(`update iu_outbound_route set ${what} where route_code = '${ROUTE}'`);

  test.each([
    ['in dry run', 'dry_run = true', 'dry_run #1'],
    ['disabled', 'enabled = false', 'skipped #1'],
    ['disabled and in dry run', 'enabled = false, dry_run = true', 'skipped #1'],
  ])(
    'of a route that is %s: each leaves with its attempt, which says who, why, and after how many tries',
    async (_, what, told) => {
      await turn(what);
      expect(await recall(client, 2)).toEqual({ recalled: 2, still_queued: 1 });
      expect(await recall(client, 2)).toEqual({ recalled: 1, still_queued: 0 });
      expect(await recall(client, 2)).toEqual({ recalled: 0, still_queued: 0 });
      expect(await attempts(client)).toEqual([told, told, told]);
      expect(await ask(client, 'select array_agg(distinct detail) as answer from iu_route_attempt')).toEqual([
        { recalled_by: 'me', reason: 'a drill', tries: 0 },
      ]);
      expect(await conservedQueue(client)).toBe('balanced');
    },
  );

  test('of what is retried carries the next number and the tries', async () => {
    await settle(client, await claim(client), { ...AGAIN, retry_ms: 3_600_000 });
    await turn('dry_run = true');
    expect(await recall(client)).toEqual({ recalled: 3, still_queued: 0 });
    expect((await attempts(client)).slice(0, 2)).toEqual(['failed #1 http_503', 'dry_run #2']);
    expect(
      await ask(
        client,
        `select max(detail ->> 'tries') as answer from iu_route_attempt where attempt_no = 2`,
      ),
    ).toBe('1');
    expect(await conservedQueue(client)).toBe('balanced');
  });

  test('what somebody delivers at this moment stays, until it is settled or its lease is over', async () => {
    const lease = await claim(client, 2);
    await turn('dry_run = true');
    expect(await recall(client)).toEqual({ recalled: 1, still_queued: 2 });
    expect(await queue(client)).toEqual(['s1 #1 after 0 leased', 's2 #1 after 0 leased']);
    expect(await settle(client, { ...lease, events: lease.events.slice(0, 1) })).toMatchObject({ sent: 1 });
    expect(await recall(client)).toEqual({ recalled: 0, still_queued: 1 });
    await endLeases(client);
    expect(await recall(client)).toEqual({ recalled: 1, still_queued: 0 });
    expect(await attempts(client)).toEqual(['sent #1 delivered', 'dry_run #1', 'dry_run #1']);
    expect(await settle(client, lease)).toMatchObject({ settled: 0, refused: 2 });
    expect(await conservedQueue(client)).toBe('balanced');
  });

  test('rows that an open claim has are passed over without waiting', async () => {
    const other = await database.connect();
    await other.query('begin');
    await claim(other, 1);
    await turn('dry_run = true');
    await client.query(`set lock_timeout = '2s'`);
    expect(await recall(client)).toMatchObject({ recalled: 2 });
    await other.query('commit');
    expect(await recall(client)).toEqual({ recalled: 0, still_queued: 1 });
  });

  test.each([
    ['a live route', 100, {}],
    ['a route that is not there', 100, { route: 'nowhere' }],
    ['limit 0 of a dry-run route', 0, { dry: true }],
    ['no limit', null, { dry: true }],
    ['more than the configured batch', 5_001, { dry: true }],
  ] as const)(
    'of %s is refused with SL008',
    async (_, limit, { dry = false, ...more }: { dry?: boolean; route?: string }) => {
      if (dry) await turn('dry_run = true');
      expect(await sqlstateOf(recall(client, limit, more))).toBe('SL008');
      expect(await queued(client)).toBe(3);
    },
  );

  test('of a live route that the list does not name any more is refused, too: it may be allowed again', async () => {
    await setConfig(client, 'delivery_live_routes', '');
    expect(await sqlstateOf(recall(client))).toBe('SL008');
  });

  test.each([[{ actor: ' ' }], [{ actor: null }], [{ reason: '' }], [{ reason: null }]])(
    'with %j it is refused',
    async (who) => {
      await turn('dry_run = true');
      expect(await sqlstateOf(recall(client, 1, who))).toBe('22023');
      expect(await queued(client)).toBe(3);
    },
  );

  test('works behind closed gates', async () => {
    await turn('dry_run = true');
    for (const gate of ['outbound_enabled', 'route_worker_enabled']) await setConfig(client, gate, 'false');
    expect(await recall(client)).toMatchObject({ recalled: 3 });
  });
});
