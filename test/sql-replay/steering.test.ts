import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { installed } from '../sql-worker/support/installed.ts';
import type { TestDatabase } from '../support/create-database.ts';
import { buildReplayApp, bury, callingRoute, cure, effects } from './support/replay-app.ts';
import {
  close,
  codeOf,
  letterIds,
  lettersNow,
  open,
  opened,
  planned,
  progressOf,
  steer,
  step,
  stepAll,
} from './support/replays.ts';

describe.each([15, 18] as const)('the steering of a replay on PostgreSQL %i', (major) => {
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

  test('a hold lets nothing begin, and a release goes on', async () => {
    await bury(client, 'one', ['a', 'b']);
    await cure(client);
    const hash = await opened(client);
    await step(client, hash, { limit: 1 });
    expect(await steer(client, hash, 'hold')).toMatchObject({
      heldBy: 'an operator',
      heldBecause: 'a drill',
    });
    for (const _ of [1, 2])
      expect(await step(client, hash)).toMatchObject({ status: 'held', because: 'a drill', taken: 0 });
    expect(await steer(client, hash, 'release')).toMatchObject({ heldBy: null, heldBecause: null });
    expect(await stepAll(client, hash)).toMatchObject({ status: 'executed', progress: { resolved: 2 } });
  });

  test('skips go by route, fingerprint and ids, leave the letters open, and repeats are skipped, too', async () => {
    await callingRoute(client, 'two');
    await bury(client, 'one', ['a', 'b', 'c', 'd']);
    await bury(client, 'two', ['e', 'f']);
    await bury(client, 'one', ['g', 'h'], { message: 'of another kind' });
    await bury(client, 'one', ['i']);
    const hash = await opened(client, { attempts: 3 });
    expect(await steer(client, hash, 'skip', { route: 'two' })).toMatchObject({ skipped: 2 });
    const [{ fingerprint } = { fingerprint: '' }] = (
      await client.query<{ fingerprint: string }>(
        `select fingerprint from iu_route_dead_letter where event #>> '{payload,n}' = 'g'`,
      )
    ).rows;
    expect(await steer(client, hash, 'skip', { fingerprint })).toMatchObject({ skipped: 4 });
    expect(await steer(client, hash, 'skip', { ids: await letterIds(client, 'b', 'd') })).toMatchObject({
      skipped: 6,
    });
    await step(client, hash);
    expect(await steer(client, hash, 'skip', { ids: await letterIds(client, 'a') })).toMatchObject({
      skipped: 7,
      tries: 3,
    });
    await cure(client);
    expect(await stepAll(client, hash)).toMatchObject({
      status: 'executed',
      progress: { resolved: 2, skipped: 7 },
    });
    expect(await steer(client, hash, 'skip', { route: 'one' })).toMatchObject({ skipped: 7 });
    expect((await effects(client)).toSorted()).toEqual(['c', 'i']);
  });

  test.each<[string, unknown]>([
    ['skip', {}],
    ['skip', null],
    ['skip', []],
    ['skip', ['ids']],
    ['skip', { route: 'one', fingerprint: 'x' }],
    ['skip', { route: null }],
    ['skip', { route: 7 }],
    ['skip', { ids: [] }],
    ['skip', { ids: 'x' }],
    ['skip', { everything: true }],
    ['rate', {}],
    ['rate', null],
    ['rate', ['ratePerSecond']],
    ['rate', 'ratePerSecond'],
    ['rate', { ratePerSecond: 0 }],
    ['rate', { ratePerSecond: -1 }],
    ['rate', { ratePerSecond: 1e9 }],
    ['rate', { ratePerSecond: '5' }],
    ['leap', {}],
  ])('%s by %j is refused and changes nothing', async (what, value) => {
    await bury(client, 'one', ['a']);
    const hash = await opened(client, { ratePerSecond: 7 });
    expect(await codeOf(steer(client, hash, what, value))).toBe('SL010 replay_invalid');
    expect(await progressOf(client, hash)).toMatchObject({ ratePerSecond: 7, skipped: 0 });
  });

  test('steering names who and why, and a letter of the plan, and the run under way', async () => {
    await bury(client, 'one', ['a', 'b']);
    const hash = await opened(client, {}, { ids: await letterIds(client, 'a') });
    const call = (values: unknown[]) =>
      codeOf(client.query('select fn_iu_replay_steer($1, $2, $3, $4, $5, $6)', values));
    expect(await call([hash, 'run-1', 'hold', null, ' ', 'why'])).toBe('SL010 replay_invalid');
    expect(await call([hash, 'run-1', 'hold', null, 'me', null])).toBe('SL010 replay_invalid');
    expect(await call([hash, 'run-9', 'hold', null, 'me', 'why'])).toBe('SL010 replay_ended');
    expect(await call(['f'.repeat(64), 'run-1', 'hold', null, 'me', 'why'])).toBe('SL010 replay_not_found');
    for (const id of [...(await letterIds(client, 'b')), 'not-an-id'])
      expect(await call([hash, 'run-1', 'skip', JSON.stringify({ ids: [id] }), 'me', 'why'])).toBe(
        'SL010 dead_letter_not_found',
      );
    expect(await steer(client, hash, 'rate', { ratePerSecond: 0.5 })).toMatchObject({ ratePerSecond: 0.5 });
    expect(await steer(client, hash, 'rate', { ratePerSecond: null })).toMatchObject({ ratePerSecond: null });
  });

  test('letters are left out of a plan before it is executed, stay open, and not while it runs or afterwards', async () => {
    await bury(client, 'one', ['a', 'b']);
    await cure(client);
    const hash = await planned(client);
    const leaveOut = (value: unknown, actor: string | null = 'me') =>
      client.query(`select fn_iu_replay_leave_out($1, $2, $3, 'still fails')`, [
        hash,
        JSON.stringify(value),
        actor,
      ]);
    expect(await codeOf(leaveOut({ route: 'one' }, ''))).toBe('SL010 replay_invalid');
    expect(await codeOf(leaveOut(null))).toBe('SL010 replay_invalid');
    await leaveOut({ ids: await letterIds(client, 'a') });
    await open(client, hash);
    expect(await codeOf(leaveOut({ route: 'one' }))).toBe('SL010 replay_under_way');
    expect(await stepAll(client, hash)).toMatchObject({
      status: 'executed',
      progress: { resolved: 1, skipped: 1 },
    });
    await close(client, hash, 'executed');
    expect(await codeOf(leaveOut({ route: 'one' }))).toBe('SL010 replay_ended');
    expect(await lettersNow(client)).toEqual(['a open #1, 0 replays', 'b resolved #2, 1 replays']);
  });

  test('a cancelled run is carried on by the next one, which repeats nothing', async () => {
    await bury(client, 'one', ['a', 'b', 'c']);
    await cure(client);
    const hash = await opened(client);
    await step(client, hash, { limit: 1 });
    await steer(client, hash, 'cancel');
    expect(await step(client, hash)).toMatchObject({
      status: 'cancelled',
      because: 'an operator cancels it',
      taken: 0,
    });
    expect(await close(client, hash, 'cancelled')).toMatchObject({
      state: 'cancelled',
      resolved: 1,
      waiting: 2,
    });
    expect(await codeOf(step(client, hash))).toBe('SL010 replay_ended');
    await open(client, hash, 'run-2');
    expect(await codeOf(step(client, hash))).toBe('SL010 replay_ended');
    expect(await stepAll(client, hash, { runId: 'run-2' })).toMatchObject({
      status: 'executed',
      progress: { tries: 3 },
    });
    expect(await effects(client)).toEqual(['a', 'b', 'c']);
  });
});
