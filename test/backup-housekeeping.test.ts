import { existsSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type pg from 'pg';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { type BackupReceipt, writeReceipt } from '../backup/backup-receipt.ts';
import { listBackups } from '../backup/list-backups.ts';
import { pruneBackups } from '../backup/prune-backups.ts';
import { restoreBackup } from '../backup/restore-backup.ts';
import { takeDump } from '../backup/take-dump.ts';
import { createDatabase, type TestDatabase } from './support/create-database.ts';

// A restore starts a cluster, which takes its time on a busy machine.
vi.setConfig({ testTimeout: 120_000 });

const never = new AbortController().signal;
const silent = () => undefined;
const DAY_MS = 86_400_000;
let database: TestDatabase;
let client: pg.Client;
let dir: string;

beforeAll(async () => {
  database = await createDatabase({ major: 15, prefix: 'keep' });
  client = await database.connect();
  await client.query('create table t (n int); insert into t select generate_series(1, 100)');
});

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sluice-keep-test-'));
});

afterEach(() => rmSync(dir, { recursive: true, force: true }));

/** A dump as if it had been taken so many days ago. */
async function backup(fileStem: string, daysAgo: number, proven: boolean): Promise<BackupReceipt> {
  const taken = await takeDump({
    url: database.url,
    dir,
    fileStem,
    attempt: 1,
    signal: never,
    onProgress: silent,
  });
  const receipt: BackupReceipt = {
    ...taken,
    takenAt: new Date(Date.now() - daysAgo * DAY_MS).toISOString(),
    restoredInto: proven ? 'a test' : null,
  };
  await writeReceipt(receipt);
  return receipt;
}

async function names(): Promise<string[]> {
  return (await listBackups(dir)).map(({ file }) => file.replace(/^.*\/(.*)\.attempt-1\.dump$/, '$1'));
}

describe('the list', () => {
  it('tells newest first what each file is, without any database', async () => {
    await backup('old', 3, true);
    await backup('new', 1, false);
    const damaged = await backup('damaged', 2, true);
    writeFileSync(damaged.file, 'short');
    writeFileSync(join(dir, 'stray.attempt-1.dump'), 'no receipt');
    writeFileSync(join(dir, 'dead.attempt-1.dump.partial'), 'half');
    writeFileSync(join(dir, 'notes.txt'), 'mine');
    const listed = await listBackups(dir);
    expect(listed.map(({ state }) => state)).toEqual(['unknown', 'complete', 'damaged', 'proven']);
    expect(await names()).toEqual(['stray', 'new', 'damaged', 'old']);
    expect(await listBackups(join(dir, 'absent'))).toEqual([]);
  });
});

describe('a restore', () => {
  it('makes a new database, compares it, and says what it loses', async () => {
    const { file, takenAt } = await backup('whole', 0, true);
    await client.query('insert into t values (101)');
    const newDatabase = `${database.name}_new`;
    const restored = await restoreBackup({
      file,
      serverUrl: database.url,
      newDatabase,
      signal: never,
      onProgress: silent,
    });
    expect(restored).toMatchObject({ database: newDatabase, tables: 1 });
    expect(restored.loses).toContain(takenAt);
    expect(restored.loses).toContain('receipts');
    const url = new URL(database.url);
    url.pathname = `/${newDatabase}`;
    const again = restoreBackup({
      file,
      serverUrl: database.url,
      newDatabase,
      signal: never,
      onProgress: silent,
    });
    await expect(again).rejects.toMatchObject({ code: 'target_conflict' });
    const there = await client.query('select from pg_database where datname = $1', [newDatabase]);
    expect(there.rowCount).toBe(1);
    await client.query(`drop database "${newDatabase}"; `);
    await client.query('delete from t where n = 101');
  });

  it('that fails leaves no database', async () => {
    const receipt = await backup('fails', 0, true);
    await writeReceipt({ ...receipt, tables: [{ schema: 'public', name: 't', rows: 5 }] });
    const newDatabase = `${database.name}_fails`;
    const failing = restoreBackup({
      file: receipt.file,
      serverUrl: database.url,
      newDatabase,
      signal: never,
      onProgress: silent,
    });
    await expect(failing).rejects.toMatchObject({ code: 'backup_corrupt' });
    const left = await client.query('select from pg_database where datname = $1', [newDatabase]);
    expect(left.rowCount).toBe(0);
  });

  it('wants the roles that the dump names, or none of them', async () => {
    const receipt = await backup('roles', 0, true);
    await writeReceipt({ ...receipt, roles: [{ name: 'nobody_of_here', superuser: false }] });
    const restore = (withoutOwners: boolean) =>
      restoreBackup({
        file: receipt.file,
        serverUrl: database.url,
        newDatabase: `${database.name}_roles`,
        withoutOwners,
        signal: never,
        onProgress: silent,
      });
    await expect(restore(false)).rejects.toMatchObject({ code: 'target_not_found' });
    expect((await restore(true)).tables).toBe(1);
    await client.query(`drop database "${database.name}_roles"`);
  });
});

describe('pruning', () => {
  it('keeps the newest, removes the old, and touches nothing in a dry run', async () => {
    for (const [stem, days] of [
      ['a', 40],
      ['b', 30],
      ['c', 20],
      ['d', 1],
    ] as const)
      await backup(stem, days, true);
    const dry = await pruneBackups(dir, { keep: 2, dryRun: true });
    expect(dry.removed.map(({ file }) => file)).toHaveLength(2);
    expect(await names()).toEqual(['d', 'c', 'b', 'a']);
    await pruneBackups(dir, { keep: 2, olderThanDays: 35 });
    expect(await names()).toEqual(['d', 'c', 'b']);
    const { kept } = await pruneBackups(dir, { keep: 2 });
    expect(await names()).toEqual(['d', 'c']);
    expect(kept[0]?.why).toContain('newest good one');
    expect(readdirSync(dir)).toHaveLength(4);
  });

  it('never removes the newest good one, even when newer ones are damaged or unproven', async () => {
    await backup('older', 50, true);
    await backup('proven', 40, true);
    await backup('unproven', 30, false);
    const flipped = await backup('flipped', 20, true);
    writeFileSync(flipped.file, Buffer.alloc(flipped.bytes));
    await pruneBackups(dir, { keep: 0 });
    expect(await names()).toEqual(['unproven', 'proven']);
  });

  it('judges each database for itself', async () => {
    await backup('mine', 40, true);
    const other = await backup('other', 1, true);
    await writeReceipt({ ...other, database: 'another' });
    await pruneBackups(dir, { keep: 0 });
    expect(await names()).toEqual(['other', 'mine']);
  });

  it('removes partial files of dead attempts and orphaned receipts, not those being written', async () => {
    const dead = join(dir, 'dead.attempt-1.dump.partial');
    const writing = join(dir, 'writing.attempt-2.dump.partial');
    const orphan = join(dir, 'gone.attempt-1.dump.receipt.json');
    for (const file of [dead, writing, orphan]) writeFileSync(file, '{}');
    utimesSync(dead, new Date(), new Date(Date.now() - 3_600_000));
    const { removed } = await pruneBackups(dir, { keep: 1 });
    expect(removed.map(({ file }) => file).sort()).toEqual([dead, orphan]);
    expect([dead, writing, orphan].map((file) => existsSync(file))).toEqual([false, true, false]);
  });

  it('wants a limit', async () => {
    await expect(pruneBackups(dir, {})).rejects.toMatchObject({ code: 'usage' });
    await expect(pruneBackups(dir, { keep: Number.NaN })).rejects.toMatchObject({ code: 'usage' });
  });
});
