import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { installed } from '../sql-worker/support/installed.ts';
import { ask, runWorker } from '../sql-worker/support/worker.ts';
import type { TestDatabase } from '../support/create-database.ts';
import { buildApp, effects, functionRoute } from './support/app-function.ts';
import {
  attempts,
  claim,
  conservedQueue,
  letters,
  liveRoute,
  queue,
  queued,
  ROUTE,
  resetCursor,
  setConfig,
  settle,
  tell,
} from './support/deliveries.ts';

interface Release {
  readonly status: string;
  readonly released: number;
  readonly still_blocked: number;
  readonly attempts_written: number;
  readonly dead_lettered: number;
}

describe.each([15, 18] as const)('a live route behind a closed gate on PostgreSQL %i', (major) => {
  let database: TestDatabase;
  let client: pg.Client;
  beforeEach(async () => {
    database = await installed(major, 'delivering');
    client = await database.connect();
  });
  afterEach(async () => {
    await database.drop();
  });
  const release = () =>
    ask<Release>(
      client,
      `select fn_iu_route_blocked_release('iu_outbound_default', 100, 'me', 'a drill') as answer`,
    );
  const blocked = () =>
    ask<number>(client, `select (fn_iu_route_worker_health() ->> 'blocked')::int as answer`);

  test.each([
    ['the delivery gate is closed', 'delivery_enabled', 'false', 'true'],
    ['the list does not name it', 'delivery_live_routes', 'another', ROUTE],
  ])(
    'while %s: one audit row for each event, counted by health; opened, a release queues it as attempt 2',
    async (_, key, closed, opened) => {
      await liveRoute(client);
      await setConfig(client, key, closed);
      await tell(client, 3);
      expect(await runWorker(client)).toMatchObject({ seen: 3, attempts_written: 3, dead_lettered: 0 });
      expect(await attempts(client)).toEqual(['blocked #1', 'blocked #1', 'blocked #1']);
      expect(await queued(client)).toBe(0);
      expect(await blocked()).toBe(3);
      expect(await conservedQueue(client)).toBe('balanced');
      expect(await release()).toMatchObject({
        status: 'delivery_gate_closed',
        released: 0,
        still_blocked: 3,
      });
      await resetCursor(client);
      expect(await runWorker(client)).toMatchObject({ seen: 3, attempts_written: 0 });
      expect(await queued(client)).toBe(0);

      await setConfig(client, key, opened);
      expect(await runWorker(client)).toMatchObject({ seen: 0, attempts_written: 0 });
      expect(await blocked()).toBe(3);
      expect(await release()).toEqual({
        status: 'released',
        released: 3,
        still_blocked: 0,
        attempts_written: 0,
        dead_lettered: 0,
      });
      expect(await queue(client)).toEqual(['s1 #2 after 0', 's2 #2 after 0', 's3 #2 after 0']);
      expect(await blocked()).toBe(0);
      expect(await release()).toMatchObject({ status: 'released', released: 0 });
      expect(await conservedQueue(client)).toBe('balanced');

      await settle(client, await claim(client));
      expect(await attempts(client)).toEqual([1, 2, 3].flatMap(() => ['blocked #1', 'sent #2 delivered']));
      expect(
        await ask(
          client,
          `select array_agg(distinct detail ->> 'released_by') as answer from iu_route_attempt where attempt_no = 2`,
        ),
      ).toEqual(['me']);
      expect(await letters(client)).toEqual([]);
      expect(await conservedQueue(client)).toBe('balanced');
    },
  );

  test('what was queued before the gate closed stays queued, and goes when it opens; nothing is dropped', async () => {
    await liveRoute(client);
    await tell(client, 2);
    await runWorker(client);
    await setConfig(client, 'delivery_enabled', 'false');
    await tell(client, 1);
    await runWorker(client);
    expect((await claim(client)).events).toEqual([]);
    expect(await conservedQueue(client)).toBe('balanced, 2 queued');
    expect(await ask(client, `select fn_iu_route_worker_health() -> 'queued_deliveries' as answer`)).toBe(2);
    expect(
      await ask(client, `select fn_iu_route_worker_health() #> '{delivery,not_live}' as answer`),
    ).toEqual([ROUTE]);
    await setConfig(client, 'delivery_enabled', 'true');
    await release();
    expect((await settle(client, await claim(client))).sent).toBe(3);
    expect(await conservedQueue(client)).toBe('balanced');
  });

  test('a blocked event of a route that went back to dry run is released as dry run, a disabled one stays', async () => {
    await liveRoute(client);
    await setConfig(client, 'delivery_enabled', 'false');
    await tell(client, 1);
    await runWorker(client);
    await client.query('update iu_outbound_route set enabled = false where route_code = $1', [ROUTE]);
    expect(await release()).toMatchObject({ released: 0, still_blocked: 1 });
    await client.query('update iu_outbound_route set enabled = true, dry_run = true where route_code = $1', [
      ROUTE,
    ]);
    expect(await release()).toMatchObject({ released: 1, still_blocked: 0, attempts_written: 1 });
    expect(await attempts(client)).toEqual(['blocked #1', 'dry_run #2']);
    expect(await conservedQueue(client)).toBe('balanced');
  });

  test('a function is called by the release, once', async () => {
    await buildApp(client);
    await functionRoute(client, ROUTE);
    await setConfig(client, 'delivery_enabled', 'false');
    await tell(client, 1, { n: 1 });
    await tell(client, 1, { n: 2, does: 'raises' });
    await runWorker(client);
    expect(await effects(client)).toEqual([]);
    await setConfig(client, 'delivery_enabled', 'true');
    expect(await release()).toMatchObject({
      released: 2,
      still_blocked: 0,
      attempts_written: 2,
      dead_lettered: 1,
    });
    expect(await effects(client)).toEqual(['1']);
    expect(await attempts(client)).toEqual([
      'blocked #1',
      'sent #2 delivered',
      'blocked #1',
      'failed #2 worker_process_error',
    ]);
    expect(await conservedQueue(client)).toBe('balanced');
  });
});
