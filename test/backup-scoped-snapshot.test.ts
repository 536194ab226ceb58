import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { open, readFile, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { BackupProgress } from '../backup/backup-receipt.ts';
import { proveDump } from '../backup/prove-dump.ts';
import { restoreBackup } from '../backup/restore-backup.ts';
import { takeScopedSnapshot } from '../backup/scoped/take-scoped-snapshot.ts';
import { takeBackupFile } from '../backup/take-backup-file.ts';
import { verifyDumpFile } from '../backup/verify-dump-file.ts';
import { createDatabase, type TestDatabase } from './support/create-database.ts';
import { demand, harness } from './support/harness.ts';
import { waitFor } from './support/wait-for.ts';

// A restore starts a cluster, which takes its time on a busy machine.
vi.setConfig({ testTimeout: 120_000 });

const never = new AbortController().signal;
const silent = () => undefined;
let dir: string;
let scratchDir: string;
let schema: string;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'sluice-scoped-test-'));
  chmodSync(dir, 0o755);
  scratchDir = join(dir, 'scratch');
  mkdirSync(scratchDir, { mode: 0o755 });
  schema = await readFile(new URL('./backup/every-kind-of-object.sql', import.meta.url), 'utf8');
});

afterAll(() => rmSync(dir, { recursive: true, force: true }));

function options(database: TestDatabase, fileStem: string) {
  return { url: database.url, dir, fileStem, attempt: 1, signal: never, onProgress: silent };
}

async function filled(major: 15 | 18): Promise<TestDatabase> {
  const database = await createDatabase({ major, prefix: 'scoped' });
  const client = await database.connect();
  await client.query(schema);
  await client.end();
  return database;
}

/** What pg_dump says of the schema, a set of lines: the order of statements is no difference. */
function schemaLines(url: string): string[] {
  const { binDir } = demand(harness().postgres[15]);
  const text = execFileSync(join(binDir, 'pg_dump'), ['--schema-only', url], { encoding: 'utf8' });
  return text
    .split('\n')
    .filter((line) => line.trim() !== '' && !/^(--|\\(un)?restrict)/.test(line))
    .sort();
}

describe('a scoped snapshot', () => {
  it.each([15, 18] as const)(
    'of PostgreSQL %i restores and compares in a throw-away cluster',
    async (major) => {
      const database = await filled(major);
      const seen: BackupProgress[] = [];
      const onProgress = (progress: BackupProgress) => void seen.push(progress);
      const taken = await takeScopedSnapshot({ ...options(database, `proven-${major}`), onProgress });
      expect(taken).toMatchObject({ format: 'scoped-snapshot', serverMajor: major, notCovered: [] });
      expect(taken.tables.find(({ name }) => name === 'event_outbox')?.rows).toBe(5000);
      const proven = await proveDump(taken, { signal: never, onProgress, scratchDir });
      expect(proven.restoredInto).toContain(`throw-away local PostgreSQL ${major}`);
      expect(proven.restoredTables).toEqual({ compared: taken.tables.length, equal: taken.tables.length });
      expect(readdirSync(scratchDir)).toEqual([]);
      expect(seen.findLast(({ phase }) => phase === 'dump')?.bytes).toBe(taken.bytes);
      await verifyDumpFile(proven);
      await database.drop();
    },
  );

  it('gives pg_dump the same schema as the original, owners and grants included', async () => {
    const database = await filled(15);
    const { file } = await takeScopedSnapshot(options(database, 'same'));
    const newDatabase = `${database.name}_copy`;
    const restored = await restoreBackup({
      file,
      serverUrl: database.url,
      newDatabase,
      signal: never,
      onProgress: silent,
    });
    const copy = new URL(database.url);
    copy.pathname = `/${newDatabase}`;
    expect(schemaLines(copy.href)).toEqual(schemaLines(database.url));
    expect(restored.loses).toContain('since');
    const client = await database.connect();
    await client.query(`drop database "${newDatabase}"`);
    await database.drop();
  });

  it('stands in where every pg_dump is older than the server, and says so', async () => {
    const { binDir } = demand(harness().postgres[15]);
    const database = await createDatabase({ major: 18, prefix: 'scoped' });
    const tools = { ...options(database, 'stands-in'), toolDirs: [binDir], onlyToolDirs: true };
    await expect(takeBackupFile({ ...tools, scopedSnapshot: 'never' })).rejects.toMatchObject({
      code: 'backup_tool_older',
    });
    const receipt = await takeBackupFile({ ...tools, scopedSnapshot: 'without_pg_dump' });
    expect(receipt).toMatchObject({ format: 'scoped-snapshot', toolVersion: 'sluice scoped-snapshot 1' });
    const dumped = await createDatabase({ major: 15, prefix: 'scoped' });
    const other = {
      ...tools,
      url: dumped.url,
      fileStem: 'pg-dump',
      scopedSnapshot: 'without_pg_dump',
    } as const;
    expect(await takeBackupFile(other)).toMatchObject({ format: 'custom' });
  });

  it('holds a view that a function needs, and a function that a generated column needs', async () => {
    const database = await createDatabase({ major: 18, prefix: 'scoped' });
    const client = await database.connect();
    await client.query(`
      create function z_double(p_n int) returns int language sql immutable as 'select p_n * 2';
      create table a_table (n int, twice int generated always as (z_double(n)) stored);
      insert into a_table values (21);
      create view z_view as select twice from a_table;
      create function a_reads_view() returns setof z_view language sql begin atomic select * from z_view; end`);
    const taken = await takeScopedSnapshot(options(database, 'order'));
    const proven = await proveDump(taken, { signal: never, onProgress: silent, restoreServer: database.url });
    expect(proven.restoredTables).toEqual({ compared: 1, equal: 1 });
    expect(proven.restoredInto).toContain('without owners and grants');
  });

  it('does not hold a row that is committed while it is taken', async () => {
    const database = await createDatabase({ major: 18, prefix: 'scoped' });
    const client = await database.connect();
    await client.query('create table t (n int); insert into t select generate_series(1, 20000)');
    let late: Promise<unknown> | undefined;
    const taken = await takeScopedSnapshot({
      ...options(database, 'late'),
      onProgress: () => {
        late ??= client.query('insert into t values (0)');
      },
    });
    await late;
    expect(taken.tables).toEqual([{ schema: 'public', name: 't', rows: 20_000 }]);
    expect((await client.query('select from t')).rowCount).toBe(20_001);
  });

  it('refuses a database that it could not restore whole', async () => {
    const database = await createDatabase({ major: 18, prefix: 'scoped' });
    const client = await database.connect();
    await client.query(`create aggregate product(int) (sfunc = int4mul, stype = int, initcond = '1')`);
    await expect(takeScopedSnapshot(options(database, 'aggregate'))).rejects.toMatchObject({
      code: 'backup_tool_missing',
      message: expect.stringContaining('1 × aggregate'),
    });
    await client.query('drop aggregate product(int); create publication p');
    const { notCovered } = await takeScopedSnapshot(options(database, 'publication'));
    expect(notCovered).toEqual(['not in a scoped snapshot: 1 × publication']);
  });

  it('that was truncated or flipped is refused', async () => {
    const database = await createDatabase({ major: 18, prefix: 'scoped' });
    const client = await database.connect();
    await client.query('create table t (n int); insert into t select generate_series(1, 1000)');
    const receipt = await takeScopedSnapshot(options(database, 'damaged'));
    const whole = await readFile(receipt.file);
    const middle = Math.floor(whole.length / 2);
    const handle = await open(receipt.file, 'r+');
    await handle.write(Buffer.from([whole.readUInt8(middle) ^ 1]), 0, 1, middle);
    await handle.close();
    await expect(verifyDumpFile(receipt)).rejects.toMatchObject({ code: 'backup_corrupt' });
    const prove = () =>
      proveDump(receipt, { signal: never, onProgress: silent, restoreServer: database.url });
    await expect(prove()).rejects.toMatchObject({ code: 'backup_corrupt' });
    await writeFile(receipt.file, whole);
    await prove();
    await truncate(receipt.file, whole.length - 20);
    await expect(prove()).rejects.toMatchObject({ code: 'backup_corrupt' });
    await expect(verifyDumpFile(receipt)).rejects.toMatchObject({ code: 'backup_corrupt' });
  });

  it('that is stopped half way leaves no session and no file', async () => {
    const database = await createDatabase({ major: 18, prefix: 'scoped' });
    const client = await database.connect();
    await client.query(`create table a as select g, md5(g::text) as m from generate_series(1, 10000) g;
      create table b (n int)`);
    const locker = await database.connect();
    await locker.query('begin; lock table b in access exclusive mode');
    const stop = new AbortController();
    const taking = takeScopedSnapshot({ ...options(database, 'stopped'), signal: stop.signal });
    const stopping = waitFor(async () => {
      const { rowCount } = await client.query(
        `select from pg_stat_activity
         where datname = current_database() and application_name = 'sluice backup' and wait_event_type = 'Lock'`,
      );
      return rowCount || null;
    }).finally(() => stop.abort());
    await expect(taking).rejects.toMatchObject({ code: 'interrupted' });
    await stopping;
    expect(readdirSync(dir).filter((name) => name.startsWith('stopped'))).toEqual([]);
    await locker.query('rollback');
  });
});
