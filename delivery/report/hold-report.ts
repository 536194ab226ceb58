import { readFileSync, readlinkSync } from 'node:fs';
import { lstat, mkdir, readlink, rmdir, symlink, unlink } from 'node:fs/promises';
import { hostname } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { isRunning, processIdentity } from '../../local/process-identity.ts';
import { ReportFault } from './report-fault.ts';

/** How long the others may take until this try gives up, in milliseconds. */
const PATIENCE_MS = 10_000;
/** Held by somebody who cannot be looked at, another machine or container, it counts as left behind after this. */
const LEFT_BEHIND_MS = 60_000;
/** Removing takes a moment; whoever began and has not ended after this was killed in it. */
const REMOVING_MS = 3_000;
const LOOK_EVERY_MS = 3;

/**
 * Does the work while nobody else does work under the same name, in this process or another. The lock is a symbolic
 * link that names its holder: it appears whole or not at all, needs no second file, and one whose holder has died is
 * taken over at once. Not re-entrant.
 *
 * @throws ReportFault `report_busy`
 */
export async function holdReport<Result>(path: string, work: () => Promise<Result>): Promise<Result> {
  const me = identity();
  for (const until = performance.now() + PATIENCE_MS; !(await take(path, me)); ) {
    if (performance.now() > until) {
      throw new ReportFault('report_busy', `Another process has held the report for ${PATIENCE_MS} ms.`);
    }
    await delay(1 + Math.random() * LOOK_EVERY_MS);
  }
  try {
    return await work();
  } finally {
    if ((await holderOf(path)) === me) await unlink(path).catch(() => undefined);
  }
}

async function take(path: string, me: string): Promise<boolean> {
  try {
    await symlink(me, path);
    return true;
  } catch (error) {
    if (Object(error).code !== 'EEXIST') throw error;
  }
  const holder = await holderOf(path);
  if (holder !== undefined && (await isLeftBehind(path, holder))) await removeLeftBehind(path, holder);
  return false;
}

/** Only one removes at a time, or a second would remove the lock that the first then took. */
async function removeLeftBehind(path: string, holder: string): Promise<void> {
  const guard = `${path}.removing`;
  try {
    await mkdir(guard);
  } catch {
    if ((await ageOf(guard)) > REMOVING_MS) await rmdir(guard).catch(() => undefined);
    return;
  }
  try {
    if ((await holderOf(path)) === holder) await unlink(path);
  } finally {
    await rmdir(guard).catch(() => undefined);
  }
}

async function isLeftBehind(path: string, holder: string): Promise<boolean> {
  const { pid, startedAt, where } = readHolder(holder);
  if (where !== surroundings()) return (await ageOf(path)) > LEFT_BEHIND_MS;
  return !isRunning({ pid: Number(pid), startedAt: String(startedAt) });
}

async function holderOf(path: string): Promise<string | undefined> {
  return readlink(path).catch(() => undefined);
}

/** Milliseconds; 0 where there is nothing. */
async function ageOf(path: string): Promise<number> {
  const found = await lstat(path).catch(() => undefined);
  return found === undefined ? 0 : Date.now() - found.mtimeMs;
}

let myself: string | undefined;
function identity(): string {
  myself ??= JSON.stringify({ ...processIdentity(process.pid), where: surroundings() });
  return myself;
}

function readHolder(holder: string): {
  readonly pid?: unknown;
  readonly startedAt?: unknown;
  readonly where?: unknown;
} {
  try {
    return Object(JSON.parse(holder));
  } catch {
    return {};
  }
}

/** Within these a process can be looked at by its pid: the machine, its boot, and the container. */
function surroundings(): string {
  const attempt = (read: () => string) => {
    try {
      return read().trim();
    } catch {
      return '-';
    }
  };
  const boot = attempt(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8'));
  const processes = attempt(() => readlinkSync('/proc/self/ns/pid'));
  return `${hostname()} ${boot} ${processes}`;
}
