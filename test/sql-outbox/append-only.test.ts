import type pg from 'pg';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { installed } from '../sql-worker/support/installed.ts';
import { ask, emit, sqlstateOf } from '../sql-worker/support/worker.ts';
import { withPartitionsOf } from '../support/partitions-of.ts';

const FORGED = `(event_domain, event_type, payload, actor, xact_id, epoch, created_at)
  values ('iu', 'forged', '{}', 'me', '1', 99, 'epoch')`;

describe.each([15, 18] as const)('what may not be forged or taken away, on PostgreSQL %i', (major) => {
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
  const withPartitions = (table: string) => withPartitionsOf(client, table);
  const attempt = (id: string) =>
    client.query(
      `insert into iu_route_attempt (idempotency_key, attempt_no, event_id, worker_code, decision, status)
       values ($1::text || ':-:w', 1, $1::uuid, 'w', 'no_route', 'skipped')`,
      [id],
    );
  const tries = async (as: string, statement: string): Promise<string> => {
    await client.query('savepoint before');
    await client.query(as);
    const answer = await sqlstateOf(client.query(statement));
    await client.query('rollback to before');
    return answer;
  };

  test.each(['event_outbox', 'iu_route_attempt'])(
    '%s refuses UPDATE, DELETE and TRUNCATE, and so does every partition of it, for its owner and a replica too',
    async (table) => {
      await attempt(await emit(client));
      const names = await withPartitions(table);
      let refused = 0;
      for (const name of names) {
        for (const as of [
          'set local session_replication_role = origin',
          'set local session_replication_role = replica',
          'set local session_replication_role = local',
          'set local role iu_core_owner',
        ]) {
          for (const change of [`update ${name} set created_at = now()`, `delete from ${name}`]) {
            const rows = await ask<number>(client, `select count(*)::int as answer from ${name}`);
            if (rows === 0) continue;
            expect(await tries(as, change), `${as}: ${change}`).toBe('SL004');
            refused += 1;
          }
          expect(await tries(as, `truncate ${name} cascade`), `${as}: truncate ${name}`).toBe('SL004');
        }
      }
      expect(refused).toBe(8 * Math.min(names.length, 2));
    },
  );

  test('every partition has the guards of its table, each firing always', async () => {
    for (const table of ['event_outbox', 'iu_route_attempt']) {
      const [, ...partitions] = await withPartitions(table);
      for (const partition of partitions) {
        const { rows } = await client.query(
          `select
             bool_or(tgtype & 2 > 0 and tgtype & 8 > 0 and tgtype & 16 > 0) as refuses_changes,
             bool_or(tgtype & 2 > 0 and tgtype & 32 > 0) as refuses_truncate,
             bool_and(tgenabled = 'A') as always
           from pg_trigger where tgrelid = $1::regclass and not (tgisinternal and tgparentid = 0)`,
          [partition],
        );
        expect(rows, partition).toEqual([{ refuses_changes: true, refuses_truncate: true, always: true }]);
      }
    }
  });

  test('an emitter may neither write a row nor choose what the database says, in no partition', async () => {
    for (const name of await withPartitions('event_outbox')) {
      expect(await tries('set local role iu_core_emitter', `insert into ${name} ${FORGED}`), name).toBe(
        '42501',
      );
      expect(await tries('set local role iu_core_emitter', `select from ${name}`), name).toBe('42501');
    }
    for (const column of ['created_at', 'xact_id', 'epoch', 'id']) {
      expect(
        await ask(
          client,
          `select has_column_privilege('iu_core_emitter', 'event_outbox', $1, 'insert, update, select') as answer`,
          [column],
        ),
      ).toBe(false);
    }
  });

  test.each(['set local role iu_core_owner', 'set local session_replication_role = replica', 'reset role'])(
    'whoever writes a row anyway has transaction, epoch and moment set by the database: %s',
    async (as) => {
      for (const name of await withPartitions('event_outbox')) {
        await client.query('savepoint before');
        await client.query(as);
        await client.query(`insert into ${name} ${FORGED}`);
        const { rows } = await client.query(
          `select xact_id = pg_current_xact_id() as own, epoch, created_at > now() - interval '1 minute' as is_recent
           from event_outbox`,
        );
        expect(rows, name).toEqual([{ own: true, epoch: 1, is_recent: true }]);
        await client.query('rollback to before');
      }
    },
  );

  test('a producer who was given INSERT by mistake is overruled as well', async () => {
    await client.query('grant insert on event_outbox to iu_core_emitter');
    await client.query('set local role iu_core_emitter');
    await client.query(
      `insert into event_outbox (id, event_domain, event_type, payload, actor, xact_id, epoch, created_at)
       values (gen_random_uuid(), 'iu', 'forged', '{}', 'me', '1', 99, 'epoch')`,
    );
    await client.query('reset role');
    expect(
      await ask(
        client,
        `select xact_id = pg_current_xact_id() and epoch = 1 and created_at > now() - interval '1 minute' as answer
         from event_outbox`,
      ),
    ).toBe(true);
  });

  test('without its guard the same DELETE goes through', async () => {
    await emit(client);
    await client.query('alter table event_outbox disable trigger trg_iu_outbox_append_only');
    expect((await client.query('delete from event_outbox')).rowCount).toBe(1);
  });
});
