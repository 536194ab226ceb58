import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { installed } from '../sql-worker/support/installed.ts';
import { ask, runWorker, sqlstateOf, until } from '../sql-worker/support/worker.ts';
import type { TestDatabase } from '../support/create-database.ts';
import { claim, liveRoute, setConfig, settle, tell } from './support/deliveries.ts';

const GATES = ['iu_core.delivery_enabled', 'iu_core.route_worker_enabled', 'iu_core.outbound_enabled'];

describe.each([15, 18] as const)('a session with deliveries under way on PostgreSQL %i', (major) => {
  let database: TestDatabase;
  let client: pg.Client;
  let session: pg.Client;
  let operator: pg.Client;
  let operatorPid: number;
  beforeEach(async () => {
    database = await installed(major, 'delivering');
    client = await database.connect();
    session = await database.connect({ application_name: 'delivers here' });
    operator = await database.connect();
    operatorPid = await ask(operator, 'select pg_backend_pid() as answer');
    await liveRoute(client);
  });
  afterEach(async () => {
    await database.drop();
  });
  const enter = (who = session) => ask<boolean>(who, 'select fn_iu_delivery_session_enter() as answer');
  const leave = (who = session) => who.query('select fn_iu_delivery_session_leave()');
  const close = (gate: string) => client.query(`select fn_iu_gate_close($1, 'me', 'a test')`, [gate]);
  const wait = (gate: string) =>
    ask<{ status: string }>(operator, 'select fn_iu_gate_wait($1) as answer', [gate]);
  const operatorWaits = () =>
    until(client, 'select cardinality(pg_blocking_pids($1)) > 0 as answer', [operatorPid]);

  test.each(GATES)(
    'closing %s returns only after it has left; meanwhile nobody enters, and it claims no more',
    async (gate) => {
      await tell(client, 2);
      await runWorker(client);
      expect(await enter()).toBe(true);
      const lease = await claim(session, 1);
      await close(gate);
      let isClosed = false;
      const closed = wait(gate).then((answer) => {
        isClosed = true;
        return answer;
      });
      await operatorWaits();
      expect(await enter(client)).toBe(false);
      expect((await claim(session)).events).toEqual([]);
      expect(await settle(session, lease)).toMatchObject({ sent: 1 });
      expect(isClosed).toBe(false);
      await leave();
      expect(await closed).toMatchObject({ status: 'closed' });
      expect(await enter()).toBe(true);
      expect((await claim(session)).events).toEqual([]);
    },
  );

  test('the wait that ends by its timeout names pid and application, and holds nobody up', async () => {
    expect(await enter()).toBe(true);
    const pid = await ask<number>(session, 'select pg_backend_pid() as answer');
    await close('iu_core.delivery_enabled');
    await operator.query(`set lock_timeout = '200ms'`);
    const error: unknown = await wait('iu_core.delivery_enabled').catch((one: unknown) => one);
    expect(error).toMatchObject({
      code: '55P03',
      message: expect.stringMatching(
        new RegExp(`a run is still under way: pid ${pid} \\(\\S+, delivers here\\)$`),
      ),
    });
    expect(await enter(client)).toBe(true);
    await leave(client);
    await leave();
    expect(await wait('iu_core.delivery_enabled')).toMatchObject({ status: 'closed' });
  });

  test('runs go on beside it: the side is shared', async () => {
    expect(await enter()).toBe(true);
    expect(await enter(client)).toBe(true);
    await tell(client, 1);
    expect(await runWorker(operator)).toMatchObject({ status: 'ran', seen: 1 });
  });

  test('entering twice takes leaving twice; leaving without having entered changes nothing', async () => {
    await leave();
    expect(await enter()).toBe(true);
    expect(await enter()).toBe(true);
    await leave();
    await close('iu_core.delivery_enabled');
    await operator.query(`set lock_timeout = '200ms'`);
    expect(await sqlstateOf(wait('iu_core.delivery_enabled'))).toBe('55P03');
    await leave();
    expect(await wait('iu_core.delivery_enabled')).toMatchObject({ status: 'closed' });
  });

  test('it is held over transactions, also rolled-back ones, and let go by the end of the session', async () => {
    await session.query('begin');
    expect(await enter()).toBe(true);
    await session.query('rollback');
    await close('iu_core.delivery_enabled');
    const closed = wait('iu_core.delivery_enabled');
    await operatorWaits();
    await session.end();
    expect(await closed).toMatchObject({ status: 'closed' });
  });

  test('without having entered, a session’s deliveries are not waited for: entering is what a closing gate sees', async () => {
    await tell(client, 1);
    await runWorker(client);
    expect((await claim(session)).rows).toHaveLength(1);
    await close('iu_core.delivery_enabled');
    expect(await wait('iu_core.delivery_enabled')).toMatchObject({ status: 'closed' });
    await setConfig(client, 'delivery_enabled', 'true');
  });
});
