import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { TestDatabase } from '../support/create-database.ts';
import { installed } from './support/installed.ts';
import { conserved, emitOf, held, recorded } from './support/subjects.ts';
import { ask, emit, runWorker, settled, sqlstateOf } from './support/worker.ts';

const CURSOR = 'iu_outbound_default';
const ROUTE = 'iu_version_applied';

interface Next {
  readonly event_id: string;
  readonly routes: readonly string[];
}

describe.each([15, 18] as const)('a run in single steps on PostgreSQL %i', (major) => {
  let database: TestDatabase;
  let client: pg.Client;
  beforeEach(async () => {
    database = await installed(major, 'live');
    client = await database.connect();
  });
  afterEach(async () => {
    await database.drop();
  });
  const open = () =>
    ask<{ status: string }>(client, 'select fn_iu_route_worker_open($1) as answer', [CURSOR]);
  const next = () => ask<Next | null>(client, 'select fn_iu_route_worker_next($1) as answer', [CURSOR]);
  const step = (event: string | null, route: string | null = null) =>
    ask<number>(client, 'select fn_iu_route_worker_step($1, $2, $3) as answer', [CURSOR, event, route]);
  const fail = (event: string | null, route: string | null) =>
    client.query(`select fn_iu_route_worker_fail($1, $2, $3, '57014', 'it took too long')`, [
      CURSOR,
      event,
      route,
    ]);
  const advance = (event: string | null) =>
    client.query('select fn_iu_route_worker_advance($1, $2)', [CURSOR, event]);
  /** The SQLSTATE of a statement, with the transaction as it was before. */
  const refused = async (statement: () => Promise<unknown>) => {
    await client.query('savepoint refused');
    const code = await sqlstateOf(statement());
    await client.query('rollback to refused');
    return code;
  };
  const attempts = async () => {
    const { rows } = await client.query(
      `select event_id, route_code, attempt_no, decision, target_kind, target_ref, failure_code
       from iu_route_attempt order by event_id, route_code, attempt_no`,
    );
    return rows;
  };
  const keyset = async () => {
    const { rows } = await client.query(
      'select cursor_epoch, cursor_xact_id, cursor_created_at::text, cursor_event_id from iu_route_worker_cursor',
    );
    return rows;
  };
  const begun = async () => {
    await settled(client);
    await client.query('begin');
    expect(await open()).toEqual({ status: 'open' });
  };

  test('decides what a run decides, and leaves the cursor where a run leaves it', async () => {
    await client.query(
      `insert into iu_outbound_route (route_code, event_domain, event_type, event_filter, target_kind, target_ref, enabled)
       values ('second', 'iu', 'version_applied', '$.second', 'report', 'x', true)`,
    );
    const ids = [
      await emit(client),
      await emit(client, { second: true }),
      await emit(client, {}, 'nobody_wants_it'),
    ];
    await begun();
    const seen: Next[] = [];
    for (let coming = await next(); coming !== null; coming = await next()) {
      seen.push(coming);
      await step(coming.event_id);
      await advance(coming.event_id);
    }
    await client.query('commit');
    expect(seen).toEqual([
      { event_id: ids[0], routes: [ROUTE, 'second'] },
      { event_id: ids[1], routes: [ROUTE, 'second'] },
      { event_id: ids[2], routes: [] },
    ]);
    const stepwise = [await attempts(), await keyset()];
    expect(await runWorker(client)).toMatchObject({ seen: 0 });
    await client.query(`
      alter table iu_route_attempt disable trigger trg_iu_attempt_append_only;
      delete from iu_route_attempt;
      update iu_route_worker_cursor
      set cursor_epoch = null, cursor_xact_id = null, cursor_created_at = null, cursor_event_id = null`);
    expect(await runWorker(client)).toMatchObject({ seen: 3, attempts_written: 4 });
    expect([await attempts(), await keyset()]).toEqual(stepwise);
  });

  test('route by route it decides the same, and a second time nothing', async () => {
    await client.query(
      `insert into iu_outbound_route (route_code, event_domain, event_type, target_kind, target_ref, enabled)
       values ('second', 'iu', 'version_applied', 'report', 'x', true)`,
    );
    const id = await emit(client);
    await begun();
    expect(await step(id, ROUTE)).toBe(1);
    expect(await step(id, ROUTE)).toBe(0);
    expect(await step(id, 'second')).toBe(1);
    expect(await step(id)).toBe(0);
    expect(await step(id, 'there is no such route')).toBe(0);
    await advance(id);
    await client.query('commit');
    expect(await conserved(client)).toBe('balanced');
  });

  test('a route that fails is a dead letter with a failed attempt; the others and the next event go on', async () => {
    const [first, second] = [await emit(client), await emit(client)];
    await begun();
    await client.query('savepoint one');
    await step(first, ROUTE);
    await client.query('rollback to one');
    await fail(first, ROUTE);
    await advance(first);
    await step(second);
    await advance(second);
    expect(await next()).toBe(null);
    await client.query('commit');
    expect(await attempts()).toMatchObject([
      { event_id: first, decision: 'failed', failure_code: 'worker_process_error' },
      { event_id: second, decision: 'dry_run' },
    ]);
    const { rows } = await client.query(
      'select event_id, route_code, failure_detail from iu_route_dead_letter',
    );
    expect(rows).toEqual([
      {
        event_id: first,
        route_code: ROUTE,
        failure_detail: { sqlstate: '57014', message: 'it took too long' },
      },
    ]);
    expect(await conserved(client)).toBe('balanced');
  });

  test('an event that fails as a whole is a dead letter without a route', async () => {
    const id = await emit(client);
    await begun();
    await fail(id, null);
    await advance(id);
    await client.query('commit');
    expect(await attempts()).toMatchObject([{ event_id: id, route_code: null, decision: 'failed' }]);
    expect(await conserved(client)).toBe('balanced');
  });

  test('an event that is not the next is refused at every step, and nothing is written', async () => {
    const first = await emit(client);
    const second = await emit(client);
    await begun();
    const unknown = '0195f1a0-0000-7000-8000-000000000001';
    for (const wrong of [second, unknown, null]) {
      expect(await refused(() => step(wrong)), String(wrong)).toBe('SL008');
      expect(await refused(() => fail(wrong, ROUTE)), String(wrong)).toBe('SL008');
      expect(await refused(() => advance(wrong)), String(wrong)).toBe('SL008');
    }
    expect(await attempts()).toEqual([]);
    await step(first);
    await advance(first);
    expect(await refused(() => step(first)), 'the one before').toBe('SL008');
    await step(second);
    await advance(second);
    for (const call of [() => step(second), () => advance(second), () => fail(null, null)]) {
      expect(await refused(call), 'behind the last').toMatch(/^(SL008|23514|23502)$/);
    }
    await client.query('commit');
    expect(await conserved(client)).toBe('balanced');
  });

  test('the cursor does not move past an event about which nothing is recorded', async () => {
    const id = await emit(client);
    await begun();
    expect(await refused(() => advance(id))).toBe('SL008');
    await client.query('savepoint before');
    await step(id);
    await client.query('rollback to before');
    expect(await refused(() => advance(id))).toBe('SL008');
    await step(id);
    expect(await refused(() => advance(id))).toBe('none');
    await client.query('rollback');
  });

  test('an event that is held back is recorded, and the next run lets it go', async () => {
    await client.query(
      `update iu_outbound_route set ordered_by_subject = true, event_filter = 'strict $.kind'`,
    );
    await emitOf(client, 'a', {});
    const second = await emitOf(client, 'a', { kind: 1 });
    await runWorker(client, 1);
    await begun();
    expect(await step(second)).toBe(0);
    await advance(second);
    await client.query('commit');
    expect(await held(client)).toEqual(['a/2']);
    await client.query(
      `update iu_route_dead_letter set state = 'discarded', state_actor = 'me', state_reason = 'known', state_at = now()`,
    );
    await runWorker(client);
    expect(await recorded(client)).toEqual(['a/1 failed', 'a/2 dry_run past a dead letter']);
  });

  test('an event that is not settled is not the next', async () => {
    const other = await database.connect();
    await other.query('begin; select pg_current_xact_id()');
    await emit(client);
    await client.query('begin');
    await open();
    expect(await next()).toBe(null);
    await other.query('rollback');
    await client.query('rollback');
  });

  test.each([
    ['iu_core.outbound_enabled', 'false', 'master_gate_closed'],
    ['iu_core.route_worker_enabled', 'TRUE ', 'worker_gate_closed'],
  ])('with %s at %s it does not open: %s', async (gate, value, status) => {
    await client.query('update dot_config set value = $2 where key = $1', [gate, value]);
    expect(await open()).toEqual({ status });
  });

  test('with the cursor in another hand it is busy; while a gate is closing it says so', async () => {
    const other = await database.connect();
    await other.query('begin');
    await other.query('select from iu_route_worker_cursor for update');
    expect(await open()).toEqual({ status: 'busy' });
    await other.query('rollback');
    await other.query('begin');
    await other.query('select pg_advisory_xact_lock(fn_iu_worker_lock_key())');
    expect(await open()).toEqual({ status: 'gate_closing' });
    await other.query('rollback');
    expect(await open()).toEqual({ status: 'open' });
  });

  test('an unknown cursor and REPEATABLE READ are refused', async () => {
    expect(await sqlstateOf(client.query(`select fn_iu_route_worker_open('nobody')`))).toBe('SL008');
    await client.query('begin isolation level repeatable read');
    expect(await sqlstateOf(open())).toBe('SL008');
    await client.query('rollback');
  });

  test('the worker’s role may take every step, an auditor and an emitter none', async () => {
    const [first, second] = [await emit(client), await emit(client)];
    await settled(client);
    await client.query('begin');
    await client.query('set local role iu_core_worker');
    expect(await open()).toEqual({ status: 'open' });
    expect(await next()).toMatchObject({ event_id: first });
    await step(first);
    await advance(first);
    await fail(second, ROUTE);
    await advance(second);
    await client.query('reset role');
    for (const role of ['iu_core_auditor', 'iu_core_emitter']) {
      for (const call of [open, next, () => step(null), () => fail(null, null), () => advance(null)]) {
        await client.query('savepoint as_other');
        await client.query(`set local role ${role}`);
        expect(await sqlstateOf(call()), role).toBe('42501');
        await client.query('rollback to as_other');
      }
    }
    await client.query('commit');
    expect(await conserved(client)).toBe('balanced');
  });
});
