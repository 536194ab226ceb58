import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { BackupProgress } from '../backup/backup-receipt.ts';
import { proveDump } from '../backup/prove-dump.ts';
import { restoreBackup } from '../backup/restore-backup.ts';
import { takeScopedSnapshot } from '../backup/scoped/take-scoped-snapshot.ts';
import { verifyDumpFile } from '../backup/verify-dump-file.ts';
import { createDatabase, type TestDatabase } from './support/create-database.ts';
import { demand, harness } from './support/harness.ts';

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
});
