import { readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { commandLine, type ProcessIdentity, processIdentity } from './process-identity.ts';

export interface LockFile {
  readonly port: number;
  /** The server that holds it; `undefined` when the file is stale. */
  readonly process: ProcessIdentity | undefined;
}

/** Reads `postmaster.pid` of a data directory; `undefined` when there is none. */
export function lockFileOf(dataDir: string): LockFile | undefined {
  const lines = readLines(dataDir);
  if (lines === undefined) return undefined;
  const pid = Number(lines[0]);
  const known = Number.isInteger(pid) && pid > 1 ? processIdentity(pid) : undefined;
  const holds = known !== undefined && isServerOf(known.pid, dataDir);
  return { port: Number(lines[3]), process: holds ? known : undefined };
}

/**
 * After a crash the pid in `postmaster.pid` may belong to another program, and PostgreSQL would refuse to
 * start because of it. This writes the caller's own pid in its place, which PostgreSQL takes for stale because
 * it is its parent's. The file stays, so that PostgreSQL still checks that no old backend uses the data.
 */
export function disownStaleLockFile(dataDir: string): void {
  const lines = readLines(dataDir);
  if (lines === undefined || lockFileOf(dataDir)?.process !== undefined) return;
  writeFileSync(join(dataDir, 'postmaster.pid'), [String(process.pid), ...lines.slice(1)].join('\n'));
}

function readLines(dataDir: string): string[] | undefined {
  try {
    return readFileSync(join(dataDir, 'postmaster.pid'), 'utf8').split('\n');
  } catch {
    return undefined;
  }
}

function isServerOf(pid: number, dataDir: string): boolean {
  const command = commandLine(pid);
  const [program = ''] = command.split(' ');
  return /^(postgres|postmaster)$/.test(basename(program)) && command.includes(` -D ${dataDir} `);
}
