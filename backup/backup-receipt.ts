import { open, readFile, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { z } from 'zod';

/** Where a backup stands; `bytes` grows within a phase, `detail` is one line for a person. */
export interface BackupProgress {
  readonly phase: 'dump' | 'hash' | 'restore' | 'compare';
  readonly bytes: number;
  readonly detail: string;
}

const tableRows = z.object({ schema: z.string(), name: z.string(), rows: z.number().int() });

const receiptSchema = z.object({
  version: z.literal(1),
  /** `custom`: `pg_dump -Fc`. `scoped-snapshot`: the built-in format, for where there is no `pg_dump`. */
  format: z.enum(['custom', 'scoped-snapshot']),
  /** Absolute path. */
  file: z.string(),
  bytes: z.number().int(),
  sha256: z.string(),
  /** Entries of the table of contents. */
  tocEntries: z.number().int(),
  attempt: z.number().int(),
  database: z.string(),
  /** Names the cluster; null where the role may not read it. */
  systemIdentifier: z.string().nullable(),
  serverVersion: z.string(),
  serverMajor: z.number().int(),
  /** Version of `pg_dump`, or `sluice scoped-snapshot 1`. */
  toolVersion: z.string(),
  /** Everything committed below this transaction id is in the dump. */
  snapshotXmin: z.string(),
  /** When the snapshot was taken, ISO 8601, by the server's clock. */
  takenAt: z.string(),
  /** Size of the whole database at that time, indexes included. */
  databaseBytes: z.number().int(),
  locale: z.object({
    encoding: z.string(),
    collate: z.string(),
    ctype: z.string(),
    /** `c` libc, `i` ICU, `b` built in. */
    provider: z.string(),
    name: z.string().nullable(),
  }),
  /** Roles that the dump names as owner, grantee or in a policy. */
  roles: z.array(z.object({ name: z.string(), superuser: z.boolean() })),
  /** Rows of every user table, counted in the dump's own snapshot. */
  tables: z.array(tableRows),
  /** What this format leaves out of the dump, one line each; empty for `custom`. */
  notCovered: z.array(z.string()),
  /** Where it was restored and compared, in words; null until that was done. */
  restoredInto: z.string().nullable(),
  restoredTables: z.object({ compared: z.number().int(), equal: z.number().int() }).nullable(),
  durationMs: z.object({
    dump: z.number(),
    hash: z.number(),
    restore: z.number().nullable(),
    compare: z.number().nullable(),
  }),
});

/** What is known of one backup; lies beside the dump as `<file>.receipt.json`, so it needs no database. */
export type BackupReceipt = z.infer<typeof receiptSchema>;
export type TableRows = z.infer<typeof tableRows>;
export type BackupLocale = BackupReceipt['locale'];
export type BackupRole = BackupReceipt['roles'][number];

export function receiptPathOf(file: string): string {
  return `${file}.receipt.json`;
}

/** Writes the receipt beside its dump, whole or not at all; what a killed attempt left of one goes with its partials. */
export async function writeReceipt(receipt: BackupReceipt): Promise<void> {
  const path = receiptPathOf(receipt.file);
  const partial = `${path}.partial`;
  const handle = await open(partial, 'w', 0o600);
  try {
    await handle.writeFile(`${JSON.stringify(receipt, null, 2)}\n`);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(partial, path);
  await syncDirectory(dirname(path));
}

/** Reads the receipt of a dump; null when there is none or it is not readable as one. */
export async function readReceipt(file: string): Promise<BackupReceipt | null> {
  try {
    const parsed = receiptSchema.safeParse(JSON.parse(await readFile(receiptPathOf(file), 'utf8')));
    return parsed.success ? { ...parsed.data, file } : null;
  } catch {
    return null;
  }
}

/** Makes a rename in this directory survive a crash of the machine. */
export async function syncDirectory(dir: string): Promise<void> {
  const handle = await open(dir, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
