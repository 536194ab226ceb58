import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { TestDatabase } from '../support/create-database.ts';
import { installed } from './support/installed.ts';
import { ask, emit, runWorker, sqlstateOf, until } from './support/worker.ts';

const GATE = 'iu_core.route_worker_enabled';

describe.each([15, 18] as const)('closing a gate on PostgreSQL %i', (major) => {
  let database: TestDatabase;
  let operator: pg.Client;
  let runner: pg.Client;
  beforeEach(async () => {
    database = await installed(major, 'live');
    [operator, runner] = await Promise.all([
      database.connect(),
      database.connect({ application_name: 'the runner' }),
    ]);
  });
  afterEach(async () => {
    await database.drop();
  });
  const close = () => operator.query('select fn_iu_gate_close($1, $2, $3)', [GATE, 'me', 'a test']);
  const wait = () => ask<{ status: string }>(operator, 'select fn_iu_gate_wait($1) as answer', [GATE]);

  test('when the wait returns, nothing runs and nothing can start', async () => {
    await emit(operator);
    await close();
    expect(await wait()).toMatchObject({ status: 'closed' });
    expect(await runWorker(runner)).toMatchObject({ status: 'worker_gate_closed', seen: 0 });
  });

  test('it waits for the run that is under way, and a run that comes meanwhile is refused, not queued', async () => {
    const late = await database.connect();
    await runner.query('begin');
    await runWorker(runner);
    await close();
    let returned = false;
    const waiting = wait().then(() => {
      returned = true;
    });
    await until(
      late,
      `select exists (select from pg_locks where locktype = 'advisory' and not granted and database = (
        select oid from pg_database where datname = current_database())) as answer`,
    );
    expect(await runWorker(late)).toMatchObject({ status: 'gate_closing', seen: 0 });
    expect(returned).toBe(false);
    await runner.query('commit');
    await waiting;
    expect(await runWorker(late)).toMatchObject({ status: 'worker_gate_closed' });
  });

  test('when lock_timeout ends first it names who still runs, and the gate stays closed', async () => {
    await runner.query('begin');
    await runWorker(runner);
    const pid = await ask<number>(runner, 'select pg_backend_pid() as answer');
    await close();
    await operator.query(`set lock_timeout = '100ms'`);
    await expect(wait()).rejects.toMatchObject({
      code: '55P03',
      message: expect.stringMatching(new RegExp(`pid ${pid} \\(postgres, the runner\\)`)),
    });
    await runner.query('commit');
    expect(await runWorker(runner)).toMatchObject({ status: 'worker_gate_closed' });
  });

  test('in the transaction that closes it the wait refuses, since nobody else sees it closed yet', async () => {
    await operator.query('begin');
    await close();
    expect(await sqlstateOf(wait())).toBe('SL008');
    await operator.query('rollback');
  });

  test('an open gate is not waited for', async () => {
    expect(await sqlstateOf(wait())).toBe('SL008');
  });

  test.each([
    ['no gate', null, 'me', 'why'],
    ['a key that is no gate', 'iu_core.event_payload_max_bytes', 'me', 'why'],
    ['no actor', GATE, '', 'why'],
    ['no reason', GATE, 'me', null],
  ])('refuses %s', async (_, key, actor, reason) => {
    expect(
      await sqlstateOf(operator.query('select fn_iu_gate_close($1, $2, $3)', [key, actor, reason])),
    ).toBe('22023');
  });

  test('an operator may, a worker may not', async () => {
    await operator.query('set role iu_core_worker');
    expect(await sqlstateOf(close())).toBe('42501');
    await operator.query('set role iu_core_operator');
    await close();
    expect(await wait()).toMatchObject({ status: 'closed' });
    await operator.query('reset role');
  });
});
