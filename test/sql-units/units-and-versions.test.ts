import type pg from 'pg';
import { beforeAll, describe, expect, test } from 'vitest';
import { createDatabase, type TestDatabase } from '../support/create-database.ts';
import { BASE_TEMPLATE, sqlstateOf } from './base-files.ts';

describe.each([15, 18] as const)('units and versions on PostgreSQL %i', (major) => {
  let database: TestDatabase;
  let client: pg.Client;
  beforeAll(async () => {
    database = await createDatabase({ major, template: BASE_TEMPLATE });
    client = await database.connect();
  });

  async function value<T>(
    sql: string,
    values: unknown[] = [],
    on: pg.Client = client,
  ): Promise<T | undefined> {
    const { rows } = await on.query({ text: sql, values, rowMode: 'array' });
    return rows[0]?.[0];
  }
  const create = (code: string, body = 'one') =>
    value<string>('select fn_iu_create_unit($1, $2, $3, $4)', [code, 'A title', body, 'ada']);
  const add = async (code: string, body: string, on: pg.Client = client) => {
    const { rows } = await on.query('select * from fn_iu_add_version($1, $2, $3)', [code, body, 'ada']);
    return rows[0];
  };
  const events = (code: string) =>
    value<string>('select count(*) from event_outbox where event_subject = $1', [code]).then(Number);
  const versions = (code: string) =>
    value<string>(
      'select count(*) from unit_version v join information_unit u on u.id = v.unit_id where unit_code = $1',
      [code],
    ).then(Number);

  test('a unit begins as a draft with version 1, which emits nothing', async () => {
    const id = await create('a.md#first');
    const { rows } = await client.query(
      `select lifecycle_status, head_version_seq, v.version_seq, body
         from information_unit u join unit_version v on v.unit_id = u.id where u.id = $1`,
      [id],
    );
    expect(rows).toEqual([{ lifecycle_status: 'draft', head_version_seq: 1, version_seq: 1, body: 'one' }]);
    expect(await events('a.md#first')).toBe(0);
  });

  test('a changed text becomes the next version and emits version_applied about it', async () => {
    await create('a.md#changed');
    const added = await add('a.md#changed', 'two');
    expect(added).toMatchObject({ outcome: 'added', version_seq: 2 });
    const { rows } = await client.query(
      'select event_domain, event_type, subject_ref, actor, payload from event_outbox where event_subject = $1',
      ['a.md#changed'],
    );
    expect(rows).toMatchObject([
      {
        event_domain: 'iu',
        event_type: 'version_applied',
        subject_ref: added.version_id,
        actor: 'ada',
        payload: { unit_code: 'a.md#changed', version_seq: 2, version_id: added.version_id },
      },
    ]);
    expect(JSON.stringify(rows)).not.toContain('two');
  });

  test('an unchanged text adds no version and no event', async () => {
    await create('a.md#same');
    const first = await value('select id from unit_version where body = $1 order by id desc limit 1', [
      'one',
    ]);
    expect(await add('a.md#same', 'one')).toEqual({
      outcome: 'unchanged',
      version_seq: 1,
      version_id: first,
    });
    expect([await versions('a.md#same'), await events('a.md#same')]).toEqual([1, 0]);
  });

  test('a text that comes back is a version of its own', async () => {
    await create('a.md#back');
    await add('a.md#back', 'two');
    expect(await add('a.md#back', 'one')).toMatchObject({ outcome: 'added', version_seq: 3 });
  });

  test('version and event are lost together when the transaction is rolled back', async () => {
    await create('a.md#lost');
    await client.query('begin');
    await add('a.md#lost', 'two');
    expect([await versions('a.md#lost'), await events('a.md#lost')]).toEqual([2, 1]);
    await client.query('rollback');
    expect([await versions('a.md#lost'), await events('a.md#lost')]).toEqual([1, 0]);
    expect(await add('a.md#lost', 'three')).toMatchObject({ version_seq: 2 });
  });

  test('an event that the emitter refuses takes the version with it', async () => {
    await create('a.md#refused');
    await client.query(`update dot_config set value = '1' where key = 'iu_core.event_payload_max_bytes'`);
    expect(await sqlstateOf(add('a.md#refused', 'two'))).toBe('22023');
    expect(await versions('a.md#refused')).toBe(1);
    await client.query(
      `update dot_config set value = '262144' where key = 'iu_core.event_payload_max_bytes'`,
    );
    expect(await add('a.md#refused', 'two')).toMatchObject({ version_seq: 2 });
  });

  test('two writers of one unit leave no gap and no double', async () => {
    await create('a.md#race');
    const writers = await Promise.all([database.connect(), database.connect()]);
    await Promise.all(
      writers.map(async (writer, who) => {
        for (let round = 0; round < 15; round += 1) {
          if (round % 5 === 4) {
            await writer.query('begin');
            await add('a.md#race', `lost ${who} ${round}`, writer);
            await writer.query('rollback');
          }
          await add('a.md#race', `text ${who} ${round}`, writer);
        }
      }),
    );
    const seqs = await value<number[]>(
      `select array_agg(version_seq order by version_seq)
         from unit_version v join information_unit u on u.id = v.unit_id where unit_code = 'a.md#race'`,
    );
    expect(seqs).toEqual(Array.from({ length: 31 }, (_, index) => index + 1));
    expect(await events('a.md#race')).toBe(30);
  });

  test('a second writer waits for the first, and another unit does not', async () => {
    await create('a.md#held');
    await create('a.md#free');
    const other = await database.connect();
    await client.query('begin');
    await add('a.md#held', 'two');
    await other.query(`set lock_timeout = '100ms'`);
    expect(await sqlstateOf(add('a.md#held', 'three', other))).toBe('55P03');
    expect(await add('a.md#free', 'two', other)).toMatchObject({ version_seq: 2 });
    await client.query('commit');
    expect(await add('a.md#held', 'three', other)).toMatchObject({ version_seq: 3 });
  });

  test('a number that is not the next one, and a digest of another text, are refused', async () => {
    const id = await create('a.md#number');
    const insert = (seq: number | null, sha: string | null) =>
      client.query(
        `insert into unit_version (unit_id, version_seq, body, content_sha256, created_by) values ($1, $2, 'x', $3, 'ada')`,
        [id, seq, sha],
      );
    expect(await sqlstateOf(insert(5, null))).toBe('23514');
    expect(await sqlstateOf(insert(1, null))).toBe('23514');
    expect(await sqlstateOf(insert(null, '0'.repeat(64)))).toBe('23514');
    await insert(2, null);
    expect([await versions('a.md#number'), await events('a.md#number')]).toEqual([2, 1]);
  });

  test.each(['origin', 'replica'])('versions refuse UPDATE, DELETE and TRUNCATE under %s', async (role) => {
    await create(`a.md#kept-${role}`);
    await client.query(`set session_replication_role = ${role}`);
    for (const sql of [
      'update unit_version set body = body',
      'delete from unit_version',
      'truncate unit_version',
    ]) {
      expect(await sqlstateOf(client.query(sql)), sql).toBe('SL004');
    }
    expect(await sqlstateOf(client.query('truncate information_unit cascade'))).toBe('SL004');
    await client.query('reset session_replication_role');
  });

  test('an unknown address, a taken address, an empty actor are refused', async () => {
    await create('a.md#taken');
    expect(await sqlstateOf(add('a.md#nobody', 'x'))).toBe('P0002');
    expect(await sqlstateOf(create('a.md#taken'))).toBe('23505');
    expect(await sqlstateOf(client.query(`select fn_iu_create_unit('a.md#x', 't', 'b', ' ')`))).toBe('23514');
    expect(await value(`select count(*)::int from information_unit where unit_code = 'a.md#x'`)).toBe(0);
  });

  test('an emitter writes through functions alone; an auditor reads; nobody else does either', async () => {
    await create('a.md#roles');
    const as = async (role: string, sql: string) => {
      await client.query(`begin; set local role ${role}`);
      try {
        return await client.query(sql).then(
          () => 'done',
          (error: pg.DatabaseError) => error.code,
        );
      } finally {
        await client.query('rollback');
      }
    };
    const write = `select fn_iu_add_version('a.md#roles', 'two', 'ada')`;
    const read = 'select count(*) from unit_version';
    const raw = `update information_unit set lifecycle_status = 'deprecated'`;
    expect(await as('iu_core_emitter', write)).toBe('done');
    expect(await as('iu_core_emitter', read)).toBe('42501');
    expect(await as('iu_core_auditor', read)).toBe('done');
    for (const role of ['iu_core_auditor', 'iu_core_operator', 'iu_core_worker']) {
      expect(await as(role, write), role).toBe('42501');
    }
    for (const role of ['iu_core_emitter', 'iu_core_auditor', 'iu_core_operator', 'iu_core_worker']) {
      expect(await as(role, raw), role).toBe('42501');
    }
  });
});
