import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { installed } from '../sql-worker/support/installed.ts';
import { ask } from '../sql-worker/support/worker.ts';
import type { TestDatabase } from '../support/create-database.ts';
import { buildReplayApp, bury, callingRoute, cure, trouble } from './support/replay-app.ts';
import { close, codeOf, letterIds, opened, steer, step, stepAll } from './support/replays.ts';

interface Report {
  readonly lettersSha256: string;
  readonly groups: readonly object[];
  readonly skippedBecause: readonly object[];
  readonly stillOpen: readonly object[];
  readonly conservation: { readonly balanced: boolean };
  readonly runs: readonly object[];
  readonly story: readonly { readonly what: string }[];
  readonly progress: object;
}

describe.each([15, 18] as const)('the report of a replay on PostgreSQL %i', (major) => {
  let database: TestDatabase;
  let client: pg.Client;
  beforeEach(async () => {
    database = await installed(major, 'replaying');
    client = await database.connect();
    await buildReplayApp(client);
    await callingRoute(client, 'one');
  });
  afterEach(async () => {
    await database.drop();
  });
  const report = (hash: string) => ask<Report>(client, 'select fn_iu_replay_report($1) as answer', [hash]);

  test('counts groups, tells what was skipped and why, and what is still open', async () => {
    await bury(client, 'one', ['a', 'b', 'c']);
    await cure(client);
    await trouble(client, 'b', 'no room');
    const hash = await opened(client, { attempts: 2 });
    const [c] = await letterIds(client, 'c');
    await steer(client, hash, 'skip', { ids: [c] });
    await stepAll(client, hash);
    await close(client, hash, 'executed');
    const told = await report(hash.slice(0, 10));
    expect(told).toMatchObject({
      progress: { state: 'executed', resolved: 1, failed: 1, skipped: 1 },
      groups: [{ route: 'one', letters: 3, resolved: 1, failed: 1, skipped: 1, waiting: 0, tries: 3 }],
      skippedBecause: [{ because: 'skipped_by_request', letters: 1 }],
      stillOpen: [
        {
          route: 'one',
          failureCode: 'worker_process_error',
          state: 'failed',
          because: 'worker_process_error',
        },
        { id: c, state: 'skipped', because: 'skipped_by_request' },
      ],
      conservation: { balanced: true },
      runs: [{ runNo: 1, runId: 'run-1', outcome: 'executed', because: 'a test' }],
    });
    expect(told.story.map(({ what }) => what)).toEqual(['planned', 'opened', 'skip', 'ended']);
  });

  test('its digest changes with every outcome, and with nothing else', async () => {
    await bury(client, 'one', ['a', 'b']);
    const hash = await opened(client, { attempts: 3 });
    const seen = new Set<string>();
    const changed = async () => {
      const { lettersSha256 } = await report(hash);
      expect(lettersSha256).toMatch(/^[0-9a-f]{64}$/);
      const isNew = !seen.has(lettersSha256);
      seen.add(lettersSha256);
      return isNew;
    };
    expect(await changed()).toBe(true);
    await step(client, hash, { limit: 1 });
    expect(await changed()).toBe(true);
    await steer(client, hash, 'hold');
    await step(client, hash);
    await steer(client, hash, 'release');
    expect(await changed()).toBe(false);
    await cure(client);
    await step(client, hash, { limit: 1 });
    expect(await changed()).toBe(true);
    await steer(client, hash, 'skip', { route: 'one' });
    expect(await changed()).toBe(true);
    await step(client, hash);
    await close(client, hash, 'executed');
    expect(await changed()).toBe(false);
  });

  test('of an unknown plan there is none', async () => {
    expect(await codeOf(report('f'.repeat(64)))).toBe('SL010 replay_not_found');
  });
});
