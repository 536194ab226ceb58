import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { proveDump } from '../../backup/prove-dump.ts';
import { restoreBackup } from '../../backup/restore-backup.ts';
import { takeScopedSnapshot } from '../../backup/scoped/take-scoped-snapshot.ts';
import { takeDump } from '../../backup/take-dump.ts';
import type { TestDatabase } from '../support/create-database.ts';
import { installed } from './support/installed.ts';
import { drop, oldEvent, oldPartition, setGate } from './support/partitions.ts';
import { conserved } from './support/subjects.ts';
import { ask, emit, runWorker, sqlstateOf } from './support/worker.ts';

// A restore starts a cluster, which takes its time on a busy machine.
vi.setConfig({ testTimeout: 120_000 });

const never = new AbortController().signal;
const silent = () => undefined;
let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'sluice-partitions-test-'));
  chmodSync(dir, 0o1777);
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** Outbox and audit over all kinds of partition: made ahead, taken over from the default ones, and these. */
async function partitioned(
  major: 15 | 18,
): Promise<{ database: TestDatabase; client: pg.Client; old: string }> {
  const database = await installed(major, 'live');
  const client = await database.connect();
  const old = await oldPartition(client, 50);
  await emit(client);
  await runWorker(client);
  await client.query('select fn_iu_retention_prepare()');
  await client.query('update iu_outbound_route set ordered_by_subject = true');
  await oldEvent(client, 50);
  await oldEvent(client, -100);
  await emit(client);
  await runWorker(client);
  return { database, client, old };
}

/** Everything that makes a partition one: bounds, owners, grants, indexes, constraints, triggers, and what it holds. */
async function picture(client: pg.Client): Promise<unknown> {
  return ask(
    client,
    `with part as (
       select c.oid, c.relname, pg_get_expr(c.relpartbound, c.oid) as bound, c.relowner::regrole as owner, c.relowner as owner_id, c.relacl,
         obj_description(c.oid) as comment
       from pg_class as c
       where c.relname ~ '^(event_outbox|iu_route_attempt)' and c.relkind in ('r', 'p')
     )
     select jsonb_agg(jsonb_build_object(
       'relation', part.relname, 'bound', part.bound, 'owner', part.owner, 'comment', part.comment,
       'grants', (select jsonb_agg(a::text order by a::text) from unnest(coalesce(part.relacl, acldefault('r', part.owner_id))) as a),
       'indexes', (
         select jsonb_agg(pg_get_indexdef(i.indexrelid) || coalesce(' of ' || p.inhparent::regclass, '') order by i.indexrelid::regclass::text)
         from pg_index as i left join pg_inherits as p on p.inhrelid = i.indexrelid
         where i.indrelid = part.oid),
       'constraints', (
         select jsonb_agg(format('%s %s %s', o.conname, pg_get_constraintdef(o.oid), o.conparentid <> 0) order by o.conname)
         from pg_constraint as o where o.conrelid = part.oid),
       'triggers', (
         select jsonb_agg(format('%s %s %s %s', t.tgname, t.tgenabled, t.tgparentid <> 0, t.tgtype) order by t.tgname)
         from pg_trigger as t where t.tgrelid = part.oid)
     ) order by part.relname) || jsonb_build_object('rows', jsonb_build_array(
       (select jsonb_agg(to_jsonb(e) || jsonb_build_object('in', e.tableoid::regclass::text) order by e.id) from event_outbox as e),
       (select jsonb_agg(to_jsonb(a) || jsonb_build_object('in', a.tableoid::regclass::text) order by a.idempotency_key) from iu_route_attempt as a),
       (select jsonb_agg(to_jsonb(p) order by p.upper_at) from iu_outbox_partition as p))) as answer
     from part`,
  );
}

test.each([
  ['pg_dump', 15, takeDump],
  ['a scoped snapshot', 15, takeScopedSnapshot],
  ['a scoped snapshot', 18, takeScopedSnapshot],
] as const)(
  '%s of PostgreSQL %i restores partitions with guards and rows as they were',
  async (kind, major, take) => {
    const { database, client, old } = await partitioned(major);
    const taken = await take({
      url: database.url,
      dir,
      fileStem: `${kind.replaceAll(/\W/g, '-')}-${major}`,
      attempt: 1,
      signal: never,
      onProgress: silent,
    });
    const proven = await proveDump(taken, { signal: never, onProgress: silent, scratchDir: dir });
    expect(proven.restoredTables).toEqual({ compared: taken.tables.length, equal: taken.tables.length });
    expect(taken.tables.find(({ name }) => name === old)?.rows).toBe(1);

    const newDatabase = `${database.name}_copy`;
    await restoreBackup({
      file: taken.file,
      serverUrl: database.url,
      newDatabase,
      signal: never,
      onProgress: silent,
    });
    const url = new URL(database.url);
    url.pathname = `/${newDatabase}`;
    const copy = new pg.Client({ connectionString: url.href });
    await copy.connect();
    try {
      expect(await picture(copy)).toEqual(await picture(client));
      for (const role of ['origin', 'replica']) {
        await copy.query(`set session_replication_role = ${role}`);
        expect(await sqlstateOf(copy.query(`truncate ${old}`))).toBe('SL004');
        expect(await sqlstateOf(copy.query(`delete from ${old}`))).toBe('SL004');
      }
      await copy.query('reset session_replication_role');
      await emit(copy);
      expect(await runWorker(copy)).toMatchObject({ seen: 1, attempts_written: 1 });
      expect(await ask(copy, `select fn_iu_retention_prepare() -> 'created' as answer`)).toEqual([]);
      await setGate(copy, true);
      expect(await drop(copy, old)).toMatchObject({ events: 1, attempts: 1 });
      expect(await conserved(copy)).toBe('balanced');
    } finally {
      await copy.end();
      await client.query(`drop database "${newDatabase}"`);
      await database.drop();
    }
  },
);
