import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ReplayPlan } from '../../contracts/replay.ts';
import { setConfig } from '../sql-delivery/support/deliveries.ts';
import { installed } from '../sql-worker/support/installed.ts';
import { ask } from '../sql-worker/support/worker.ts';
import type { TestDatabase } from '../support/create-database.ts';
import { buildReplayApp, bury, callingRoute, cure } from './support/replay-app.ts';
import { close, codeOf, letterIds, open, PLAIN, stepAll } from './support/replays.ts';

describe.each([15, 18] as const)('policies of scheduled replays on PostgreSQL %i', (major) => {
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
  interface Given {
    readonly code?: string | null;
    readonly filter?: unknown;
    readonly policy?: unknown;
    readonly age?: number | null;
    readonly letters?: number | null;
    readonly replays?: number | null;
    readonly actor?: string | null;
    readonly reason?: string | null;
  }
  const set = ({
    code = 'nightly',
    filter = {},
    policy = PLAIN,
    age = 0,
    letters = 10,
    replays = 3,
    actor = 'me',
    reason = 'a test',
  }: Given = {}) =>
    ask<{ isEnabled: boolean }>(
      client,
      'select fn_iu_replay_policy_set($1, $2, $3, $4, $5, $6, $7, $8, $9) as answer',
      [code, JSON.stringify(filter), JSON.stringify(policy), age, letters, replays, 'told', actor, reason],
    );
  const turn = (
    enabled: boolean | null,
    code = 'nightly',
    actor: string | null = 'me',
    reason: string | null = 'a test',
  ) =>
    ask<{ isEnabled: boolean }>(client, 'select fn_iu_replay_policy_switch($1, $2, $3, $4) as answer', [
      code,
      enabled,
      actor,
      reason,
    ]);
  const remove = (code = 'nightly', actor: string | null = 'me', reason: string | null = 'a test') =>
    client.query('select fn_iu_replay_policy_remove($1, $2, $3)', [code, actor, reason]);
  const plan = (code = 'nightly') =>
    ask<ReplayPlan>(client, `select fn_iu_replay_plan_by_policy($1, 'a schedule', 'it is time') as answer`, [
      code,
    ]);

  test('a policy is off until it is switched on, and every change switches it off', async () => {
    await bury(client, 'one', ['a']);
    expect(await set()).toMatchObject({
      policy: 'nightly',
      isEnabled: false,
      changedBy: 'me',
      maxLetters: 10,
    });
    expect(await codeOf(plan())).toBe('SL010 replay_invalid');
    expect(await turn(true)).toMatchObject({ isEnabled: true });
    expect(await plan()).toMatchObject({ letters: 1, policyCode: 'nightly', actor: 'a schedule' });
    expect(await set({ letters: 5 })).toMatchObject({ isEnabled: false, maxLetters: 5 });
    expect(await codeOf(plan())).toBe('SL010 replay_invalid');
    await turn(true);
    expect(await turn(false)).toMatchObject({ isEnabled: false });
    expect(await codeOf(plan())).toBe('SL010 replay_invalid');
  });

  test('a plan that nobody has executed is answered again; a later one is made when that has ended', async () => {
    await bury(client, 'one', ['a', 'b']);
    await set({ letters: 1 });
    await turn(true);
    const first = await plan();
    expect((await plan()).planHash).toBe(first.planHash);
    await open(client, first.planHash);
    expect((await plan()).planHash).toBe(first.planHash);
    await close(client, first.planHash ?? '', 'cancelled');
    expect((await plan()).planHash).toBe(first.planHash);
    await cure(client);
    await open(client, first.planHash, 'run-2');
    await stepAll(client, first.planHash ?? '', { runId: 'run-2' });
    await close(client, first.planHash ?? '', 'executed', 'run-2');
    const second = await plan();
    expect(second).toMatchObject({ letters: 1 });
    expect(second.planHash).not.toBe(first.planHash);
    await client.query(`update iu_outbound_route set config = '{"x": 1}' where route_code = 'one'`);
    const third = await plan();
    expect(third.planHash).not.toBe(second.planHash);
    await turn(true);
    expect((await plan()).planHash).not.toBe(third.planHash);
  });

  test('young letters and often replayed ones are left alone', async () => {
    await bury(client, 'one', ['a', 'b']);
    const [a] = await letterIds(client, 'a');
    await client.query(`select fn_iu_route_dead_letter_replay($1, 'me', 'a test')`, [a]);
    await set({ replays: 1 });
    await turn(true);
    expect(await plan()).toMatchObject({ letters: 1 });
    await set({ age: 3600 });
    await turn(true);
    expect(await plan()).toMatchObject({ planHash: null, letters: 0 });
    await client.query(
      `update iu_route_dead_letter set last_failed_at = clock_timestamp() - interval '2 hours' where dead_letter_id = $1`,
      [a],
    );
    expect(await plan()).toMatchObject({ letters: 1 });
  });

  test('a policy is removed, and its plans stay', async () => {
    await bury(client, 'one', ['a']);
    await set();
    await turn(true);
    await plan();
    await remove();
    expect(await ask(client, 'select count(*)::int as answer from iu_replay_policy')).toBe(0);
    expect(await ask(client, `select policy_code as answer from iu_replay_plan`)).toBe('nightly');
    for (const call of [plan(), turn(true), remove()])
      expect(await codeOf(call)).toBe('SL010 replay_not_found');
  });

  test('what is not well given is refused and changes nothing', async () => {
    const bad: Given[] = [
      { code: null },
      { code: '' },
      { code: 'With Blanks' },
      { code: 'x'.repeat(101) },
      { age: -1 },
      { age: null },
      { age: 31_536_001 },
      { letters: 0 },
      { letters: null },
      { letters: 1_000_001 },
      { replays: 0 },
      { replays: null },
      { actor: '' },
      { reason: null },
      { filter: { ids: ['0195f1a0-0000-7000-8000-000000000001'] } },
      { filter: { maxLetters: 5 } },
      { filter: { maxReplays: 5 } },
      { filter: { includeDryRun: true } },
      { filter: { includeDryRun: false } },
      { filter: { everything: true } },
      { filter: [] },
      { policy: { attempts: 0 } },
    ];
    for (const given of bad)
      expect(await codeOf(set(given)), JSON.stringify(given)).toBe('SL010 replay_invalid');
    expect(await ask(client, 'select count(*)::int as answer from iu_replay_policy')).toBe(0);
    await set();
    expect(await codeOf(turn(null))).toBe('SL010 replay_invalid');
    expect(await codeOf(turn(true, 'nightly', ''))).toBe('SL010 replay_invalid');
    expect(await codeOf(turn(true, 'nightly', 'me', null))).toBe('SL010 replay_invalid');
    expect(await codeOf(remove('nightly', 'me', ''))).toBe('SL010 replay_invalid');
  });

  test('a plan above the limit needs approval, whoever made it', async () => {
    await setConfig(client, 'replay_approval_above', '1');
    await bury(client, 'one', ['a', 'b']);
    await set();
    await turn(true);
    const { planHash, needsApproval } = await plan();
    expect(needsApproval).toBe(true);
    expect(await codeOf(open(client, planHash))).toBe('SL010 replay_not_approved');
    await client.query(`select fn_iu_replay_approve($1, 'me', 'seen')`, [planHash]);
    expect((await plan()).planHash).toBe(planHash);
    await open(client, planHash);
  });
});
