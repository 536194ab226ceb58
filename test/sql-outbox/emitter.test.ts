import type pg from 'pg';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { installed } from '../sql-worker/support/installed.ts';
import { ask, emit, sqlstateOf } from '../sql-worker/support/worker.ts';

describe.each([15, 18] as const)('the governed emitter on PostgreSQL %i', (major) => {
  let client: pg.Client;
  beforeAll(async () => {
    client = await (await installed(major, 'outbox')).connect();
  });
  beforeEach(async () => {
    await client.query('begin');
  });
  afterEach(async () => {
    await client.query('rollback');
  });
  const call = (domain: unknown, type: unknown, payload: unknown, actor: unknown = 'me') =>
    client.query('select fn_iu_emit_event($1, $2, null, null, $3, $4)', [domain, type, payload, actor]);

  test('an emitter writes an event in its own transaction, and gets its id', async () => {
    await client.query('set local role iu_core_emitter');
    const id = await emit(client, { a: 1 });
    await client.query('reset role');
    expect(await ask(client, 'select id::text as answer from event_outbox')).toBe(id);
  });

  test('an emitter may not touch the table itself', async () => {
    for (const statement of [
      `insert into event_outbox (event_domain, event_type, payload, actor) values ('iu', 'x', '{}', 'me')`,
      'select * from event_outbox',
      'delete from event_outbox',
    ]) {
      await client.query('savepoint before');
      await client.query('set local role iu_core_emitter');
      expect(await sqlstateOf(client.query(statement)), statement).toBe('42501');
      await client.query('rollback to before');
    }
  });

  test.each(['iu_core_worker', 'iu_core_operator', 'iu_core_auditor'])('%s may not emit', async (role) => {
    await client.query(`set local role ${role}`);
    expect(await sqlstateOf(emit(client))).toBe('42501');
  });

  test.each([
    ['no domain', null, 'x', '{}', 'me'],
    ['an empty domain', '', 'x', '{}', 'me'],
    ['a domain with a space', 'i u', 'x', '{}', 'me'],
    ['no type', 'iu', null, '{}', 'me'],
    ['an empty type', 'iu', '', '{}', 'me'],
    ['a type of 201 bytes', 'iu', 'x'.repeat(201), '{}', 'me'],
    ['no payload', 'iu', 'x', null, 'me'],
    ['a payload that is a list', 'iu', 'x', '[]', 'me'],
    ['a payload that is a text', 'iu', 'x', '"x"', 'me'],
    ['no actor', 'iu', 'x', '{}', null],
    ['a blank actor', 'iu', 'x', '{}', ' '],
  ])('refuses %s and writes nothing', async (_, domain, type, payload, actor) => {
    await client.query('savepoint before');
    expect(await sqlstateOf(call(domain, type, payload, actor))).toBe('22023');
    await client.query('rollback to before');
    expect(await ask(client, 'select count(*)::int as answer from event_outbox')).toBe(0);
  });

  test('the size limit comes from the configuration', async () => {
    const payload = JSON.stringify({ text: 'x'.repeat(1_000) });
    await call('iu', 'x', payload);
    await client.query(`update dot_config set value = '1000' where key = 'iu_core.event_payload_max_bytes'`);
    await client.query('savepoint before');
    expect(await sqlstateOf(call('iu', 'x', payload))).toBe('22023');
    await client.query('rollback to before');
    await client.query(`delete from dot_config where key = 'iu_core.event_payload_max_bytes'`);
    expect(await sqlstateOf(call('iu', 'x', payload))).toBe('F0000');
  });

  test('an event that is rolled back is gone', async () => {
    await client.query('savepoint before');
    await emit(client);
    await client.query('rollback to before');
    expect(await ask(client, 'select count(*)::int as answer from event_outbox')).toBe(0);
  });
});
