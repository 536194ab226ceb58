import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { installed } from '../sql-worker/support/installed.ts';
import type { TestDatabase } from '../support/create-database.ts';
import { demandBooks } from './support/books.ts';
import { buildReplayApp, bury, callingRoute, cure } from './support/replay-app.ts';
import { opened, step } from './support/replays.ts';

describe('the books that every test of a replay demands', () => {
  let database: TestDatabase;
  let client: pg.Client;
  beforeAll(async () => {
    database = await installed(15, 'replaying');
    client = await database.connect();
    await buildReplayApp(client);
    await callingRoute(client, 'one', { ordered: true, after: 'skip' });
    for (const n of ['a', 'b', 'c', 'd']) await bury(client, 'one', [n], { subject: 's' });
    await cure(client);
    await step(client, await opened(client));
  });
  afterAll(async () => {
    await database.drop();
  });

  test('are right', async () => {
    await demandBooks(client);
  });

  test.each([
    ['the progress does not count', 'update iu_replay_progress set resolved = 0'],
    ['nobody will come to', 'update iu_replay_letter set due_at = null'],
    ['behind nobody', `update iu_replay_letter set state = 'behind', due_at = null where place = 2`],
    ['two of one subject', `update iu_replay_letter set state = 'waiting' where place = 3`],
    ['and not the letter', `update iu_replay_letter set state = 'resolved', due_at = null where place = 2`],
    [
      'no attempt says so',
      `update iu_route_dead_letter set state = 'resolved', state_actor = 'x', state_reason = 'x', state_at = now() where state = 'open'`,
    ],
    ['more tries than', 'update iu_replay_letter set tries = 2'],
    ['tries do not tell of', 'update iu_replay_letter set tries = 0'],
    [
      'neither in the queue nor settled',
      `update iu_replay_letter set state = 'queued', due_at = null where place = 2`,
    ],
    ['beside the state of its plan', `update iu_replay_progress set state = 'cancelled'`],
    [
      'delivered twice',
      `insert into iu_route_attempt (idempotency_key, attempt_no, event_id, route_code, worker_code, decision, status)
       select event_id || ':one:beside', 1, event_id, 'one', 'beside', 'sent', 'sent' from iu_replay_letter where place = 1`,
    ],
    [
      'what was lost',
      `insert into iu_route_attempt (idempotency_key, attempt_no, event_id, route_code, worker_code, decision, status)
       select event_id || ':one:iu_outbound_default', 9, event_id, 'one', 'iu_outbound_default', 'skipped', 'skipped'
       from iu_replay_letter where place = 4`,
    ],
  ])('are wrong with “%s”', async (what, change) => {
    await client.query('begin');
    await client.query(change);
    await expect(demandBooks(client)).rejects.toThrow(what);
    await client.query('rollback');
  });
});
