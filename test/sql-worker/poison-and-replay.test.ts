import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { TestDatabase } from '../support/create-database.ts';
import { installed } from './support/installed.ts';
import { ask, emit, runWorker, sqlstateOf } from './support/worker.ts';

describe.each([15, 18] as const)('poison and replay on PostgreSQL %i', (major) => {
  let database: TestDatabase;
  let client: pg.Client;
  beforeEach(async () => {
    database = await installed(major, 'live');
    client = await database.connect();
    await client.query(`update iu_outbound_route set event_filter = 'strict $.kind'`);
  });
  afterEach(async () => {
    await database.drop();
  });
  const letter = () => ask<string>(client, 'select dead_letter_id as answer from iu_route_dead_letter');
  const replay = (id: string) =>
    ask<{ status: string; decision: string | null; resolved: boolean; attempt_no: number | null }>(
      client,
      `select fn_iu_route_dead_letter_replay($1, 'me', 'a test') as answer`,
      [id],
    );
  const poison = async () => {
    const good = [await emit(client, { kind: 'good' })];
    const bad = await emit(client, { other: 1 });
    good.push(await emit(client, { kind: 'good' }));
    expect(await runWorker(client)).toMatchObject({ seen: 3, attempts_written: 3, dead_lettered: 1 });
    return { good, bad };
  };

  test('one event that cannot be routed is a dead letter; the others are routed and the cursor goes on', async () => {
    const { good, bad } = await poison();
    const { rows } = await client.query(
      'select event_id, decision, failure_code from iu_route_attempt order by event_id',
    );
    expect(rows).toEqual([
      { event_id: good[0], decision: 'dry_run', failure_code: null },
      { event_id: bad, decision: 'failed', failure_code: 'worker_process_error' },
      { event_id: good[1], decision: 'dry_run', failure_code: null },
    ]);
    const { rows: letters } = await client.query(
      `select event_id, route_code, state, failure_code, failure_detail ->> 'sqlstate' as code,
         event ->> 'id' as event_snapshot, route ->> 'route_code' as route_snapshot, last_attempt ->> 'attempt_no' as attempt
       from iu_route_dead_letter`,
    );
    expect(letters).toEqual([
      {
        event_id: bad,
        route_code: 'iu_version_applied',
        state: 'open',
        failure_code: 'worker_process_error',
        code: '2203A',
        event_snapshot: bad,
        route_snapshot: 'iu_version_applied',
        attempt: '1',
      },
    ]);
    expect(await runWorker(client)).toMatchObject({ seen: 0 });
  });

  test('only the route that cannot take the event fails; the other route has its attempt', async () => {
    await client.query(
      `insert into iu_outbound_route (route_code, event_domain, event_type, target_kind, target_ref, enabled)
       values ('all_of_them', 'iu', 'version_applied', 'report', 'x', true)`,
    );
    await emit(client, { other: 1 });
    expect(await runWorker(client)).toMatchObject({ seen: 1, attempts_written: 2, dead_lettered: 1 });
    const { rows } = await client.query(
      'select route_code, decision from iu_route_attempt order by route_code',
    );
    expect(rows).toEqual([
      { route_code: 'all_of_them', decision: 'dry_run' },
      { route_code: 'iu_version_applied', decision: 'failed' },
    ]);
  });

  test('failures of one kind share a fingerprint, and the next kind does not', async () => {
    await emit(client, { other: 1 });
    await emit(client, { other: 22 });
    await runWorker(client);
    await client.query(`update iu_outbound_route set event_filter = 'strict $.kind.double()'`);
    await emit(client, { kind: 'text', n: 3 });
    await runWorker(client);
    const { rows } = await client.query<{ fingerprint: string }>(
      'select fingerprint from iu_route_dead_letter order by created_at',
    );
    const [first, second, third] = rows.map((row) => row.fingerprint);
    expect(first).toBe(second);
    expect(third).not.toBe(first);
  });

  test('a failure that a retry may cure dead-letters nothing: the run fails whole', async () => {
    await client.query(`create function busy() returns trigger language plpgsql as $$ begin
      raise exception using errcode = 'deadlock_detected', message = 'made up'; end $$`);
    await client.query(
      'create trigger busy before insert on iu_route_attempt for each row execute function busy()',
    );
    await emit(client, { kind: 'good' });
    expect(await sqlstateOf(runWorker(client))).toBe('40P01');
    expect(await ask(client, 'select count(*)::int as answer from iu_route_dead_letter')).toBe(0);
    await client.query('drop trigger busy on iu_route_attempt');
    expect(await runWorker(client)).toMatchObject({ seen: 1, dead_lettered: 0 });
  });

  test('a replay that fails again stays the same open letter, with the next number and its count', async () => {
    await poison();
    const id = await letter();
    expect(await replay(id)).toEqual({
      status: 'replayed',
      dead_letter_id: id,
      decision: 'failed',
      resolved: false,
      attempt_no: 2,
    });
    const { rows } = await client.query(
      `select state, replay_count, last_attempt ->> 'attempt_no' as attempt from iu_route_dead_letter`,
    );
    expect(rows).toEqual([{ state: 'open', replay_count: 1, attempt: '2' }]);
  });

  test('a replay that succeeds resolves it, under the same key, and is not made twice', async () => {
    await poison();
    const id = await letter();
    await client.query(`update iu_outbound_route set event_filter = null`);
    expect(await replay(id)).toMatchObject({ decision: 'dry_run', resolved: true, attempt_no: 2 });
    const { rows } = await client.query(
      `select state, state_actor, state_reason, replay_count from iu_route_dead_letter`,
    );
    expect(rows).toEqual([{ state: 'resolved', state_actor: 'me', state_reason: 'a test', replay_count: 1 }]);
    expect(
      await ask(
        client,
        'select count(distinct idempotency_key)::int as answer from iu_route_attempt where attempt_no = 2',
      ),
    ).toBe(1);
    expect(await replay(id)).toMatchObject({ status: 'not_open', resolved: true, attempt_no: null });
    expect(await ask(client, `select fn_iu_conservation() ->> 'balanced' as answer`)).toBe('true');
  });

  test.each([
    ['outbound', 'master_gate_closed'],
    ['route_worker', 'worker_gate_closed'],
  ])('a closed %s gate holds a replay and writes nothing', async (gate, status) => {
    await poison();
    const before = await ask(client, 'select count(*)::int as answer from iu_route_attempt');
    await client.query('update dot_config set value = $2 where key = $1', [`iu_core.${gate}_enabled`, 'off']);
    expect(await replay(await letter())).toMatchObject({ status, resolved: false, decision: null });
    expect(await ask(client, 'select count(*)::int as answer from iu_route_attempt')).toBe(before);
  });

  test('a live route behind a closed delivery gate holds a replay, and a disabled or unmatched one does', async () => {
    await poison();
    const id = await letter();
    await client.query(`update iu_outbound_route set enabled = false`);
    expect(await replay(id)).toMatchObject({ status: 'route_does_not_take_it' });
    await client.query(`update iu_outbound_route set enabled = true, event_filter = '$.never'`);
    expect(await replay(id)).toMatchObject({ status: 'route_does_not_take_it', resolved: false });
    await client.query('alter table iu_outbound_route drop constraint iu_outbound_route_safe_chk');
    await client.query(`update iu_outbound_route set dry_run = false`);
    expect(await replay(id)).toMatchObject({ status: 'delivery_gate_closed', resolved: false });
    expect(await ask(client, 'select max(attempt_no) as answer from iu_route_attempt')).toBe(1);
  });

  test('a letter that another replay holds is busy', async () => {
    await poison();
    const id = await letter();
    const other = await database.connect();
    await other.query('begin');
    await other.query('select from iu_route_dead_letter for update');
    expect(await replay(id)).toMatchObject({ status: 'busy' });
    await other.query('rollback');
  });

  test('a replay names who and why, and a letter that is there', async () => {
    await poison();
    const id = await letter();
    const call = (values: unknown[]) =>
      sqlstateOf(client.query('select fn_iu_route_dead_letter_replay($1, $2, $3)', values));
    expect(await call([id, '', 'why'])).toBe('22023');
    expect(await call([id, 'me', null])).toBe('22023');
    expect(await call(['0195f1a0-0000-7000-8000-000000000001', 'me', 'why'])).toBe('P0002');
  });

  test('a snapshot never changes, a final state stays, and nothing deletes a letter', async () => {
    await poison();
    const refused = async (statement: string) => {
      for (const role of ['origin', 'replica']) {
        await client.query('begin');
        await client.query(`set local session_replication_role = ${role}`);
        expect(await sqlstateOf(client.query(statement)), `${role}: ${statement}`).toBe('SL004');
        await client.query('rollback');
      }
    };
    await refused(`update iu_route_dead_letter set event = '{}'`);
    await refused(`update iu_route_dead_letter set created_at = now()`);
    await refused(`delete from iu_route_dead_letter`);
    await refused(`truncate iu_route_dead_letter`);
    expect(await sqlstateOf(client.query(`update iu_route_dead_letter set state = 'discarded'`))).toBe(
      '23514',
    );
    await client.query(
      `update iu_route_dead_letter set state = 'discarded', state_actor = 'me', state_reason = 'known', state_at = now()`,
    );
    await refused(`update iu_route_dead_letter set state = 'open'`);
  });

  test('a letter that belongs to no route is resolved when the event can be decided', async () => {
    const id = await emit(client, { kind: 'good' });
    await client.query(`create function broken() returns trigger language plpgsql as $$ begin
      if new.decision <> 'failed' then raise exception 'made up'; end if; return new; end $$`);
    await client.query('update iu_outbound_route set enabled = false');
    await client.query(
      'create trigger broken before insert on iu_route_attempt for each row execute function broken()',
    );
    expect(await runWorker(client)).toMatchObject({ seen: 1, dead_lettered: 1 });
    expect(await ask(client, 'select route_code as answer from iu_route_dead_letter')).toBe(null);
    await client.query('drop trigger broken on iu_route_attempt');
    await client.query('update iu_outbound_route set enabled = true, event_filter = null');
    expect(await replay(await letter())).toMatchObject({
      decision: 'skipped',
      resolved: true,
      attempt_no: 2,
    });
    const { rows } = await client.query(
      'select route_code, attempt_no, decision from iu_route_attempt where event_id = $1 order by route_code, attempt_no',
      [id],
    );
    expect(rows).toEqual([
      { route_code: 'iu_version_applied', attempt_no: 1, decision: 'dry_run' },
      { route_code: null, attempt_no: 1, decision: 'failed' },
      { route_code: null, attempt_no: 2, decision: 'skipped' },
    ]);
    expect(await ask(client, `select fn_iu_conservation() ->> 'balanced' as answer`)).toBe('true');
  });
});
