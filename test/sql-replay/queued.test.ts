import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  AGAIN,
  attempts,
  claim,
  DEAD,
  endLeases,
  liveRoute,
  queue,
  ROUTE,
  recall,
  setConfig,
  settle,
} from '../sql-delivery/support/deliveries.ts';
import { installed } from '../sql-worker/support/installed.ts';
import { ask, runWorker } from '../sql-worker/support/worker.ts';
import type { TestDatabase } from '../support/create-database.ts';
import { emitAll } from './support/replay-app.ts';
import {
  close,
  lettersNow,
  makeDue,
  open,
  opened,
  placesOf,
  planned,
  progressOf,
  steer,
  step,
  stepAll,
} from './support/replays.ts';

describe.each([15, 18] as const)('a plan whose letters are queued, on PostgreSQL %i', (major) => {
  let database: TestDatabase;
  let client: pg.Client;
  beforeEach(async () => {
    database = await installed(major, 'replaying');
    client = await database.connect();
    await liveRoute(client);
  });
  afterEach(async () => {
    await database.drop();
  });
  /** Letters whose deliveries were refused. */
  const refused = async (...names: string[]) => {
    await emitAll(client, 'told', names);
    await runWorker(client);
    await settle(client, await claim(client), DEAD);
  };

  test('one try is queued each, collected once it is settled, and resolves its letter', async () => {
    await refused('a', 'b');
    const hash = await opened(client);
    expect(await step(client, hash)).toMatchObject({ status: 'working', taken: 2, usesQueue: true });
    expect(await queue(client)).toEqual(['a #2 after 0', 'b #2 after 0']);
    expect(await step(client, hash)).toMatchObject({
      status: 'waiting',
      progress: { inFlight: 2, waiting: 0 },
    });
    await settle(client, await claim(client, 1));
    expect(await step(client, hash)).toMatchObject({
      status: 'waiting',
      progress: { resolved: 1, inFlight: 1 },
    });
    await settle(client, await claim(client), AGAIN);
    expect(await queue(client)).toEqual([]);
    expect(await step(client, hash)).toMatchObject({
      status: 'executed',
      progress: { resolved: 1, failed: 1, inFlight: 0, tries: 2 },
    });
    expect(await lettersNow(client)).toEqual(['a resolved #2, 1 replays', 'b open #2, 1 replays']);
    expect(await placesOf(client, hash)).toEqual(['a resolved 1', 'b failed 1 http_503']);
    await close(client, hash, 'executed');
  });

  test('a failed delivery is tried as often as the policy says, however often its target would be', async () => {
    await refused('a');
    const hash = await opened(client, { attempts: 3 });
    for (const tries of [1, 2, 3]) {
      await makeDue(client);
      expect(await step(client, hash)).toMatchObject({ status: 'working', taken: 1 });
      await settle(client, await claim(client), AGAIN);
      const found = await step(client, hash, { limit: 0 });
      expect(found).toMatchObject({ progress: { tries } });
      expect(found.status).toBe(tries < 3 ? 'waiting' : 'executed');
    }
    expect(await attempts(client)).toEqual([
      'failed #1 http_400',
      'failed #2 http_503',
      'failed #3 http_503',
      'failed #4 http_503',
    ]);
    expect(await lettersNow(client)).toEqual(['a open #4, 3 replays']);
  });

  test('no more are queued than the window holds', async () => {
    await refused('a', 'b', 'c');
    const hash = await opened(client);
    expect(await step(client, hash, { window: 2 })).toMatchObject({ taken: 2 });
    expect(await step(client, hash, { window: 2 })).toMatchObject({ status: 'waiting', taken: 0 });
    await settle(client, await claim(client, 1));
    expect(await step(client, hash, { window: 2 })).toMatchObject({ taken: 1 });
    await settle(client, await claim(client));
    expect(await step(client, hash)).toMatchObject({ status: 'executed', progress: { resolved: 3 } });
  });

  test.each(['hold', 'cancel'])(
    'a %s takes back what nobody delivers, which uses up no number, and awaits what is leased',
    async (what) => {
      await refused('a', 'b');
      const hash = await opened(client);
      await step(client, hash);
      const lease = await claim(client, 1);
      await steer(client, hash, what);
      expect(await step(client, hash)).toMatchObject({
        status: 'waiting',
        progress: { inFlight: 1, waiting: 1 },
      });
      expect(await queue(client)).toEqual(['a #2 after 0 leased']);
      await settle(client, lease);
      expect(await step(client, hash)).toMatchObject({
        status: what === 'hold' ? 'held' : 'cancelled',
        progress: { resolved: 1, inFlight: 0, waiting: 1 },
      });
      if (what === 'hold') {
        await steer(client, hash, 'release');
      } else {
        await close(client, hash, 'cancelled');
        await open(client, hash, 'run-2');
      }
      const runId = what === 'hold' ? 'run-1' : 'run-2';
      expect(await step(client, hash, { runId })).toMatchObject({ status: 'working', taken: 1 });
      expect(await queue(client)).toEqual(['b #2 after 0']);
      await settle(client, await claim(client));
      expect(await step(client, hash, { runId })).toMatchObject({
        status: 'executed',
        progress: { resolved: 2, tries: 2 },
      });
    },
  );

  test.each(['cancelled', 'failed'])(
    'a run that ends as %s with deliveries queued, leased and settled counts them, and the next one goes on',
    async (outcome) => {
      await refused('a', 'b', 'c');
      const hash = await opened(client);
      await step(client, hash);
      await settle(client, await claim(client, 1));
      const leased = await claim(client, 1);
      expect(await close(client, hash, outcome)).toMatchObject({ resolved: 1, inFlight: 1, waiting: 1 });
      await open(client, hash, 'run-2');
      await settle(client, leased);
      expect(await step(client, hash, { runId: 'run-2' })).toMatchObject({
        status: 'working',
        taken: 1,
        progress: { resolved: 2, inFlight: 1 },
      });
      await settle(client, await claim(client));
      expect(await step(client, hash, { runId: 'run-2' })).toMatchObject({
        status: 'executed',
        progress: { resolved: 3, tries: 3 },
      });
      expect(await attempts(client)).toHaveLength(6);
    },
  );

  test('a run that is abandoned leaves books that are right', async () => {
    await refused('a', 'b');
    const hash = await opened(client);
    await step(client, hash);
    await settle(client, await claim(client, 1));
    await client.query(`select fn_iu_replay_abandon($1, 'run-1', 'gone')`, [hash]);
    expect(await progressOf(client, hash)).toMatchObject({
      state: 'cancelled',
      resolved: 1,
      inFlight: 0,
      waiting: 1,
    });
    await open(client, hash, 'run-2');
    await step(client, hash, { runId: 'run-2' });
    await settle(client, await claim(client));
    expect(await step(client, hash, { runId: 'run-2' })).toMatchObject({ status: 'executed' });
  });

  test('what an operator recalls is skipped, stays open, and the next plan delivers it', async () => {
    await refused('a');
    const first = await opened(client);
    await step(client, first);
    await client.query('update iu_outbound_route set dry_run = true where route_code = $1', [ROUTE]);
    await recall(client);
    await client.query('update iu_outbound_route set dry_run = false where route_code = $1', [ROUTE]);
    expect(await step(client, first)).toMatchObject({
      status: 'executed',
      progress: { skipped: 1, resolved: 0 },
    });
    expect(await placesOf(client, first)).toEqual(['a skipped 0 recalled']);
    await close(client, first, 'executed');
    const second = await opened(client);
    expect(await step(client, second)).toMatchObject({
      status: 'working',
      progress: { inFlight: 1, resolved: 0 },
    });
    expect(await lettersNow(client)).toEqual(['a open #1, 0 replays']);
    await settle(client, await claim(client));
    expect(await step(client, second)).toMatchObject({ status: 'executed', progress: { resolved: 1 } });
    expect(await attempts(client)).toEqual(['failed #1 http_400', 'dry_run #2', 'sent #3 delivered']);
    expect(await lettersNow(client)).toEqual(['a resolved #3, 1 replays']);
  });

  test('what was discarded while it was delivered is skipped as that', async () => {
    await refused('a');
    const hash = await opened(client);
    await step(client, hash);
    await client.query(
      `select fn_iu_dead_letter_change(array(select dead_letter_id from iu_route_dead_letter), 'discarded', 'me', 'known')`,
    );
    await settle(client, await claim(client));
    expect(await step(client, hash)).toMatchObject({ status: 'executed', progress: { skipped: 1 } });
    expect(await placesOf(client, hash)).toEqual(['a skipped 0 discarded']);
  });

  test('what a single replay has queued since is left to it', async () => {
    await refused('a', 'b');
    const hash = await opened(client);
    await client.query(
      `select fn_iu_route_dead_letter_replay(dead_letter_id, 'me', 'a test') from iu_route_dead_letter order by event_id limit 1`,
    );
    expect(await step(client, hash)).toMatchObject({ progress: { skipped: 1, inFlight: 1 } });
    expect(await placesOf(client, hash)).toEqual(['a skipped 0 queued_since', 'b queued 0']);
    await settle(client, await claim(client), AGAIN);
    expect(await queue(client)).toEqual(['a #3 after 1']);
    expect(await step(client, hash)).toMatchObject({ status: 'executed', progress: { failed: 1 } });
  });

  test('a gate that closes while everything is queued holds the run and is named; it goes on when it opens', async () => {
    await refused('a');
    const hash = await opened(client);
    await step(client, hash);
    for (const gate of ['delivery_enabled', 'outbound_enabled', 'route_worker_enabled']) {
      await setConfig(client, gate, 'false');
      const held = await step(client, hash);
      expect(held, gate).toMatchObject({ status: 'held', progress: { heldBy: 'gate', inFlight: 1 } });
      await setConfig(client, gate, 'true');
      expect(await step(client, hash), gate).toMatchObject({
        status: 'waiting',
        because: null,
        progress: { heldBy: null },
      });
    }
    await client.query('update iu_outbound_route set enabled = false where route_code = $1', [ROUTE]);
    expect((await step(client, hash)).because).toMatch(/route out was switched off/);
    expect((await step(client, hash, { window: 1 })).because).toMatch(/route out was switched off/);
    await client.query('update iu_outbound_route set enabled = true where route_code = $1', [ROUTE]);
    await settle(client, await claim(client));
    expect(await step(client, hash)).toMatchObject({ status: 'executed' });
  });

  test('a limit that is exceeded takes back what is queued, and stops once nothing is in flight', async () => {
    await refused('a', 'b', 'c');
    const hash = await opened(client, { canary: 3, canaryFailureLimit: 0 });
    await step(client, hash);
    await settle(client, await claim(client, 1), DEAD);
    const leased = await claim(client, 1);
    await step(client, hash);
    expect(await step(client, hash)).toMatchObject({
      status: 'waiting',
      progress: { failed: 1, inFlight: 1, waiting: 1 },
    });
    await settle(client, leased);
    expect(await step(client, hash)).toMatchObject({
      status: 'stopped',
      because: "1 of the canary's 3 letters failed, more than 0",
      progress: { resolved: 1, failed: 1, waiting: 1 },
    });
    expect(await queue(client)).toEqual([]);
    expect(await close(client, hash, 'stopped')).toMatchObject({ state: 'stopped' });
  });

  test('no more letters are under way than may fail before the limit is exceeded by one', async () => {
    await refused('a', 'b', 'c', 'd');
    const hash = await opened(client, { failureLimit: 1 });
    expect(await step(client, hash)).toMatchObject({ taken: 2, progress: { inFlight: 2 } });
    expect(await step(client, hash)).toMatchObject({ taken: 0, progress: { inFlight: 2 } });
    await settle(client, await claim(client, 1));
    expect(await step(client, hash)).toMatchObject({ taken: 1, progress: { inFlight: 2 } });
    await settle(client, await claim(client, 2), DEAD);
    expect(await step(client, hash)).toMatchObject({
      status: 'stopped',
      progress: { resolved: 1, failed: 2, waiting: 1 },
    });
  });

  test('what a lost worker had leased is taken back when its lease is over', async () => {
    await refused('a');
    const hash = await opened(client);
    await step(client, hash);
    const lost = await claim(client);
    await steer(client, hash, 'cancel');
    expect(await step(client, hash)).toMatchObject({ status: 'waiting' });
    await endLeases(client);
    expect(await step(client, hash)).toMatchObject({
      status: 'cancelled',
      progress: { waiting: 1, tries: 0 },
    });
    expect(await settle(client, lost)).toMatchObject({ settled: 0, refused: 1 });
  });

  test('a route that is deleted while its letters are queued fails them, and they stay open', async () => {
    await refused('a');
    const hash = await opened(client);
    await step(client, hash);
    await client.query('delete from iu_outbound_route where route_code = $1', [ROUTE]);
    await claim(client);
    expect(await step(client, hash)).toMatchObject({ status: 'executed', progress: { failed: 1 } });
    expect(await placesOf(client, hash)).toEqual(['a failed 1 route_removed']);
    expect(await lettersNow(client)).toEqual(['a open #2, 1 replays']);
  });

  test('the canary passes when its deliveries are settled, and only then the rest is queued', async () => {
    await refused('a', 'b', 'c');
    const hash = await planned(client, { canary: 1 });
    await open(client, hash);
    expect(await step(client, hash)).toMatchObject({ taken: 1, progress: { canary: 'running' } });
    expect(await step(client, hash)).toMatchObject({ status: 'waiting', taken: 0 });
    await settle(client, await claim(client));
    expect(await step(client, hash)).toMatchObject({ taken: 2, progress: { canary: 'passed' } });
    await settle(client, await claim(client));
    expect(await stepAll(client, hash)).toMatchObject({ status: 'executed', progress: { resolved: 3 } });
  });

  test('of two workers with the same event and route the second leaves it to the first', async () => {
    await client.query(`insert into iu_route_worker_cursor (cursor_code) values ('beside')`);
    await emitAll(client, 'told', ['a']);
    await runWorker(client);
    await settle(client, await claim(client), DEAD);
    await runWorker(client, 100, 'beside');
    await settle(client, await claim(client), DEAD);
    const hash = await opened(client);
    expect((await progressOf(client, hash)).letters).toBe(2);
    await step(client, hash);
    await step(client, hash);
    expect(await placesOf(client, hash)).toEqual(['a queued 0', 'a skipped 0 queued_since']);
    await settle(client, await claim(client));
    expect(await step(client, hash)).toMatchObject({
      status: 'executed',
      progress: { resolved: 1, skipped: 1 },
    });
    const again = await ask<{ excluded: unknown }>(
      client,
      `select fn_iu_replay_plan('{}', '{}', 'me', 'a test') as answer`,
    );
    expect(again.excluded).toEqual([{ because: 'already_delivered', route: ROUTE, letters: 1 }]);
  });
});
