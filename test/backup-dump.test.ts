import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { open, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { type BackupProgress, type BackupReceipt, readReceipt } from '../backup/backup-receipt.ts';
import { proveDump } from '../backup/prove-dump.ts';
import { restoreBackup } from '../backup/restore-backup.ts';
import { takeDump } from '../backup/take-dump.ts';
import { verifyDumpFile } from '../backup/verify-dump-file.ts';
import { createDatabase, type TestDatabase } from './support/create-database.ts';
import { demand, harness } from './support/harness.ts';

let database: TestDatabase;
let client: pg.Client;
let dir: string;
let scratchDir: string;
// A restore starts a cluster, which takes its time on a busy machine.
vi.setConfig({ testTimeout: 120_000 });

const never = new AbortController().signal;
const silent = () => undefined;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'sluice-backup-test-'));
  chmodSync(dir, 0o755);
  scratchDir = join(dir, 'scratch');
  mkdirSync(scratchDir);
  // As the machine's temporary directory is, so that the user that PostgreSQL runs as may clean up.
  chmodSync(scratchDir, 0o1777);
  database = await createDatabase({ major: 15, prefix: 'backup' });
  client = await database.connect();
  await client.query(`
    create schema sluice;
    create table sluice.step_receipt (run_id uuid primary key, n int generated always as identity);
    create table note (id int primary key, body text not null, tags jsonb not null default '{}');
    insert into note select g, md5(g::text), jsonb_build_object('n', g) from generate_series(1, 50000) g;
    create table day (at date not null, v int) partition by range (at);
    create table day_2025 partition of day for values from ('2025-01-01') to ('2026-01-01');
    insert into day select '2025-01-01'::date + g % 300, g from generate_series(1, 1000) g;
    create function refuse() returns trigger language plpgsql as $$ begin raise exception 'append-only'; end $$;
    create trigger note_is_append_only before update or delete on note for each row execute function refuse();
    alter table note enable always trigger note_is_append_only;
    create view long_note as select * from note where length(body) > 3;
    do $$ begin create role "backup test reader" nologin; exception when duplicate_object then null; end $$;
    grant select on note to "backup test reader";
    create policy readers on note for select to "backup test reader" using (true)`);
});

const blockers: pg.Client[] = [];

afterEach(async () => {
  for (const blocker of blockers.splice(0)) await blocker.end();
});

afterAll(() => {
  rmSync(dir, { recursive: true, force: true });
});

function take(options: Partial<Parameters<typeof takeDump>[0]> = {}): Promise<BackupReceipt> {
  return takeDump({
    url: database.url,
    dir,
    fileStem: 'test',
    attempt: 1,
    signal: never,
    onProgress: silent,
    ...options,
  });
}

async function until<T>(ask: () => Promise<T | undefined> | T | undefined): Promise<T> {
  for (const end = Date.now() + 60_000; ; ) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (Date.now() > end) throw new Error('the condition did not come true');
    await delay(20);
  }
}

/** Command lines of this machine's processes that contain the text. */
function processesNaming(text: string): string[] {
  return execFileSync('ps', ['-eo', 'args'], { encoding: 'utf8' })
    .split('\n')
    .filter((line) => line.includes(text));
}

async function backendsOf(application: string): Promise<number> {
  const { rows } = await client.query<{ n: number }>(
    'select count(*)::int as n from pg_stat_activity where datname = current_database() and application_name = $1',
    [application],
  );
  return rows[0]?.n ?? -1;
}

async function noneLeft(application: string): Promise<void> {
  await until(async () => ((await backendsOf(application)) === 0 ? true : undefined));
}

/** Holds a lock that pg_dump waits for and the snapshot does not: the partitioned parent's. */
async function stallPgDump(): Promise<() => Promise<void>> {
  const blocker = await database.connect();
  await blocker.query('begin; lock table only day in access exclusive mode');
  blockers.push(blocker);
  return async () => {
    await blocker.query('rollback');
  };
}

async function pgDumpWaits(): Promise<void> {
  await until(async () => {
    const { rows } = await client.query(`
      select from pg_stat_activity
      where application_name = 'sluice backup' and wait_event_type = 'Lock' and query ilike 'lock table%'`);
    return rows.length > 0 ? true : undefined;
  });
}

describe('a dump', () => {
  it('restores with the same rows in a throw-away cluster, which is gone afterwards', async () => {
    const seen: BackupProgress[] = [];
    const onProgress = (progress: BackupProgress) => void seen.push(progress);
    const taken = await take({ fileStem: 'proven', onProgress });
    expect(taken).toMatchObject({ format: 'custom', attempt: 1, restoredInto: null, serverMajor: 15 });
    expect(taken.sha256).toMatch(/^[0-9a-f]{64}$/);
    expect(taken.tables).toEqual([
      { schema: 'public', name: 'day_2025', rows: 1000 },
      { schema: 'public', name: 'note', rows: 50_000 },
      { schema: 'sluice', name: 'step_receipt', rows: 0 },
    ]);
    const proven = await proveDump(taken, { signal: never, onProgress, scratchDir });
    expect(proven.restoredInto).toMatch(/throw-away local PostgreSQL 15/);
    expect(proven.restoredTables).toEqual({ compared: 3, equal: 3 });
    expect(await readReceipt(taken.file)).toEqual(proven);
    expect(readdirSync(scratchDir)).toEqual([]);
    expect(processesNaming(scratchDir)).toEqual([]);
    expect([...new Set(seen.map(({ phase }) => phase))]).toEqual(['dump', 'hash', 'restore', 'compare']);
    for (const phase of ['dump', 'hash', 'restore']) {
      const bytes = seen.filter((progress) => progress.phase === phase).map((progress) => progress.bytes);
      expect(bytes).toEqual([...bytes].sort((a, b) => a - b));
    }
    expect(seen.find(({ phase }) => phase === 'dump')?.bytes).toBeLessThan(taken.bytes);
    for (const phase of ['dump', 'hash'] as const) {
      expect(seen.findLast((progress) => progress.phase === phase)?.bytes).toBe(taken.bytes);
    }
    await verifyDumpFile(proven);
  });

  it('restores on a named server, where its database is dropped afterwards', async () => {
    const proven = await proveDump(await take({ fileStem: 'named' }), {
      signal: never,
      onProgress: silent,
      restoreServer: database.url,
    });
    expect(proven.restoredInto).toContain('without owners and grants');
    expect(proven.restoredTables).toEqual({ compared: 3, equal: 3 });
    const left = await client.query(`select from pg_database where datname like 'sluice_restore_%'`);
    expect(left.rowCount).toBe(0);
  });

  it('does not hold or count a row that is committed after its snapshot', async () => {
    const release = await stallPgDump();
    const taking = take({ fileStem: 'snapshot' });
    await pgDumpWaits();
    await client.query(`insert into note values (0, 'late')`);
    await release();
    const receipt = await taking;
    expect(receipt.tables.find(({ name }) => name === 'note')?.rows).toBe(50_000);
    const proven = await proveDump(receipt, { signal: never, onProgress: silent, scratchDir });
    expect(proven.restoredTables?.equal).toBe(3);
    await client.query(`alter table note disable trigger note_is_append_only; delete from note where id = 0;
      alter table note enable always trigger note_is_append_only`);
  });

  it('is unproven when a row count differs from the snapshot', async () => {
    const taken = await take({ fileStem: 'differs' });
    const forged = { ...taken, tables: taken.tables.map((table) => ({ ...table, rows: table.rows + 1 })) };
    await expect(proveDump(forged, { signal: never, onProgress: silent, scratchDir })).rejects.toMatchObject({
      code: 'backup_corrupt',
    });
    expect(readdirSync(scratchDir)).toEqual([]);
  });

  it('never shows its password in an argument list', async () => {
    const url = new URL(database.url);
    url.username = `backup_secret_${process.pid}`;
    url.password = `word_${randomBytes(8).toString('hex')}`;
    await client.query(`create role ${url.username} login superuser password '${url.password}'`);
    const release = await stallPgDump();
    const taking = take({ fileStem: 'secret', url: url.href });
    await pgDumpWaits();
    expect(processesNaming(join(dir, 'secret')).length).toBeGreaterThan(0);
    expect(processesNaming(url.password)).toEqual([]);
    await release();
    const { file } = await taking;
    expect(readFileSync(`${file}.receipt.json`, 'utf8')).not.toContain(url.password);
    await client.query(`drop role ${url.username}`);
  });
});

describe('a dump file', () => {
  it('that was truncated is refused', async () => {
    const receipt = await take({ fileStem: 'truncated' });
    await verifyDumpFile(receipt);
    await truncate(receipt.file, receipt.bytes - 100);
    await expect(verifyDumpFile(receipt)).rejects.toMatchObject({ code: 'backup_corrupt' });
    await expect(
      restoreBackup({
        file: receipt.file,
        serverUrl: database.url,
        newDatabase: 'x',
        signal: never,
        onProgress: silent,
      }),
    ).rejects.toMatchObject({ code: 'backup_corrupt' });
  });

  it('with one flipped bit is refused', async () => {
    const receipt = await take({ fileStem: 'flipped' });
    const handle = await open(receipt.file, 'r+');
    const byte = Buffer.alloc(1);
    const at = Math.floor(receipt.bytes / 2);
    await handle.read(byte, 0, 1, at);
    byte.writeUInt8(byte.readUInt8(0) ^ 1);
    await handle.write(byte, 0, 1, at);
    await handle.close();
    await expect(verifyDumpFile(receipt)).rejects.toMatchObject({ code: 'backup_corrupt' });
  });

  it('that is gone is missed', async () => {
    const receipt = await take({ fileStem: 'gone' });
    rmSync(receipt.file);
    await expect(verifyDumpFile(receipt)).rejects.toMatchObject({ code: 'backup_missing' });
  });

  it('is readable by its owner only', async () => {
    const { file } = await take({ fileStem: 'mode' });
    expect(statSync(file).mode & 0o077).toBe(0);
  });
});

describe('stopping', () => {
  it('half way through the dump leaves no process, no session and no file', async () => {
    const release = await stallPgDump();
    const stop = new AbortController();
    const taking = take({ fileStem: 'stopped', signal: stop.signal }).catch((error: unknown) => error);
    await pgDumpWaits();
    stop.abort(new Error('cancelled'));
    expect(await taking).toMatchObject({ code: 'interrupted', cause: { message: 'cancelled' } });
    expect(processesNaming(join(dir, 'stopped'))).toEqual([]);
    expect(readdirSync(dir).filter((name) => name.startsWith('stopped'))).toEqual([]);
    await release();
    await noneLeft('sluice backup');
  });

  it('while the snapshot waits for a lock leaves no session', async () => {
    const blocker = await database.connect();
    await blocker.query('begin; lock table note in access exclusive mode');
    const stop = new AbortController();
    const taking = take({ fileStem: 'waiting', signal: stop.signal }).catch((error: unknown) => error);
    await pgDumpWaits();
    stop.abort();
    expect(await taking).toMatchObject({ code: 'interrupted' });
    await noneLeft('sluice backup');
    await blocker.end();
  });

  it('half way through the restore leaves no cluster', async () => {
    const taken = await take({ fileStem: 'stopped-restore' });
    const stop = new AbortController();
    const proving = proveDump(taken, {
      signal: stop.signal,
      scratchDir,
      onProgress: ({ phase, bytes }) => {
        if (phase === 'restore' && bytes > 0) stop.abort();
      },
    });
    await expect(proving).rejects.toMatchObject({ code: 'interrupted' });
    expect(readdirSync(scratchDir)).toEqual([]);
    expect(processesNaming(scratchDir)).toEqual([]);
  });

  it('by SIGKILL of the worker ends pg_dump, too, and the next attempt clears its partial file', async () => {
    const release = await stallPgDump();
    const script = `
      import { takeDump } from './backup/take-dump.ts';
      await takeDump({ url: process.env.TARGET, dir: ${JSON.stringify(dir)}, fileStem: 'killed', attempt: 1,
        signal: new AbortController().signal, onProgress: () => undefined });`;
    const worker = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
      env: { ...process.env, TARGET: database.url },
      stdio: 'ignore',
    });
    await pgDumpWaits();
    expect(processesNaming(join(dir, 'killed')).length).toBeGreaterThan(0);
    worker.kill('SIGKILL');
    await once(worker, 'exit');
    await until(() => (processesNaming(join(dir, 'killed')).length === 0 ? true : undefined));
    await release();
    await noneLeft('sluice backup');
    expect(readdirSync(dir).filter((name) => name.startsWith('killed'))).toEqual([
      'killed.attempt-1.dump.partial',
    ]);
    const receipt = await take({ fileStem: 'killed', attempt: 2 });
    expect(receipt.file).toMatch(/killed\.attempt-2\.dump$/);
    expect(readdirSync(dir).filter((name) => name.includes('.partial'))).toEqual([]);
  });
});

describe('a worker killed in the middle of a restore', () => {
  it('takes its throw-away cluster with it', async () => {
    const receipt = await take({ fileStem: 'orphan' });
    const script = `
      import { readReceipt } from './backup/backup-receipt.ts';
      import { proveDump } from './backup/prove-dump.ts';
      await proveDump(await readReceipt(${JSON.stringify(receipt.file)}), {
        signal: new AbortController().signal,
        scratchDir: ${JSON.stringify(scratchDir)},
        onProgress: ({ phase, bytes }) => {
          if (phase === 'restore' && bytes > 0) process.kill(process.pid, 'SIGKILL');
        },
      });`;
    const worker = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
      stdio: 'ignore',
    });
    expect(await once(worker, 'exit')).toEqual([null, 'SIGKILL']);
    await until(() => (processesNaming(scratchDir).length === 0 ? true : undefined));
    await until(() => (readdirSync(scratchDir).length === 0 ? true : undefined));
    expect((await readReceipt(receipt.file))?.restoredInto).toBeNull();
  });
});

const canMount = process.getuid?.() === 0 && process.platform === 'linux';

describe('a full disk', () => {
  it('is refused before anything is written', async () => {
    await expect(
      take({ fileStem: 'no-room', minFreeBytes: Number.MAX_SAFE_INTEGER / 2 }),
    ).rejects.toMatchObject({
      code: 'backup_disk_full',
    });
    expect(readdirSync(dir).filter((name) => name.startsWith('no-room'))).toEqual([]);
  });

  it.runIf(canMount)('that fills up during the dump is told, and the partial file is removed', async () => {
    const noisy = await createDatabase({ major: 15, prefix: 'noisy' });
    const noise = await noisy.connect();
    await noise.query(`
      create table noise (b bytea);
      alter table noise alter b set storage external;
      insert into noise
      select (select string_agg(decode(md5(random()::text || g || h), 'hex'), '') from generate_series(1, 4096) h)
      from generate_series(1, 256) g`);
    const size = await noise.query<{ n: string }>(`select pg_table_size('noise') as n`);
    const small = join(dir, 'small');
    mkdirSync(small);
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${Number(size.rows[0]?.n) + 65_536}`, 'tmpfs', small]);
    try {
      await expect(
        take({ url: noisy.url, dir: small, fileStem: 'full', minFreeBytes: 0 }),
      ).rejects.toMatchObject({
        code: 'backup_disk_full',
        text: { what: expect.stringContaining('pg_dump') },
      });
      expect(readdirSync(small)).toEqual([]);
    } finally {
      execFileSync('umount', [small]);
      await noisy.drop();
    }
  });
});

describe('the tools', () => {
  it('of PostgreSQL 15 are refused for a server of PostgreSQL 18', async () => {
    const newer = await createDatabase({ major: 18, prefix: 'newer' });
    const { binDir } = demand(harness().postgres[15]);
    await expect(take({ url: newer.url, toolDirs: [binDir], onlyToolDirs: true })).rejects.toMatchObject({
      code: 'backup_tool_older',
    });
    await newer.drop();
  });

  it('that are missing are named', async () => {
    await expect(take({ toolDirs: [dir], onlyToolDirs: true })).rejects.toMatchObject({
      code: 'backup_tool_missing',
    });
  });
});
