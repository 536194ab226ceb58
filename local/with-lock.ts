import { linkSync, mkdirSync, readFileSync, rmdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { isRunning, type ProcessIdentity, processIdentity } from './process-identity.ts';

export interface LockOptions {
  readonly progress?: (line: string) => void;
  readonly signal?: AbortSignal;
  /** Completes "waiting for …". */
  readonly waitingFor: string;
}

/**
 * Runs the work while no other process of this machine runs work under the same lock file. A lock whose
 * holder is gone is taken over. Not re-entrant.
 */
export async function withLock<T>(file: string, options: LockOptions, work: () => Promise<T>): Promise<T> {
  mkdirSync(dirname(file), { recursive: true });
  for (let told = false; !take(file); ) {
    options.signal?.throwIfAborted();
    if (!told) options.progress?.(`waiting for ${options.waitingFor}`);
    told = true;
    await delay(50);
  }
  try {
    return await work();
  } finally {
    rmSync(file, { force: true });
  }
}

/** A link appears with its content, so a killed taker never leaves an empty lock that nobody may break. */
function take(file: string): boolean {
  const draft = `${file}.${process.pid}.${Math.random().toString(36).slice(2)}`;
  writeFileSync(draft, JSON.stringify(processIdentity(process.pid)));
  try {
    linkSync(draft, file);
    return true;
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error;
  } finally {
    rmSync(draft, { force: true });
  }
  const holder = read(file);
  if (holder !== undefined && !isRunning(holder)) breakLock(file);
  return false;
}

/** Only one breaks a lock at a time, or the second would remove the lock that the first then took. */
function breakLock(file: string): void {
  const guard = `${file}.breaking`;
  try {
    mkdirSync(guard);
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error;
    const since = statSync(guard, { throwIfNoEntry: false })?.mtimeMs;
    if (since !== undefined && Date.now() - since > 10_000) rmdirSync(guard);
    return;
  }
  const holder = read(file);
  if (holder !== undefined && !isRunning(holder)) rmSync(file, { force: true });
  rmdirSync(guard);
}

function read(file: string): ProcessIdentity | undefined {
  try {
    const known: unknown = JSON.parse(readFileSync(file, 'utf8'));
    return typeof known === 'object' && known !== null && 'pid' in known && 'startedAt' in known
      ? { pid: Number(known.pid), startedAt: String(known.startedAt) }
      : undefined;
  } catch {
    return undefined;
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
