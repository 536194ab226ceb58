import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { temporalCachePath } from './temporal-cache.ts';

const run = promisify(execFile);

/** A Temporal CLI that was seen to work, with the server that is built into it. */
export interface TemporalProgram {
  readonly rung: 'path' | 'cache' | 'download' | 'go';
  readonly path: string;
  /** Of the server inside, for instance `1.29.1`. */
  readonly serverVersion: string;
}

/** What was found without installing anything, and what each place that was looked at said. */
export interface TemporalSearch {
  readonly found: TemporalProgram | undefined;
  readonly tried: readonly string[];
}

/** Looks for the Temporal CLI: `SLUICE_TEMPORAL_CLI`, `temporal` on `PATH`, then the cached copy. */
export async function findTemporal(env: NodeJS.ProcessEnv = process.env): Promise<TemporalSearch> {
  const tried: string[] = [];
  const only = env.SLUICE_TEMPORAL_CLI;
  const onPath = (env.PATH ?? '')
    .split(delimiter)
    .flatMap((dir) => (dir === '' ? [] : [join(dir, 'temporal')]));
  const places = [
    ...(only === undefined ? onPath : [only]).map((path) => ({ rung: 'path' as const, path })),
    ...(only === undefined ? [{ rung: 'cache' as const, path: temporalCachePath(env) }] : []),
  ];
  for (const { rung, path } of places) {
    if (!existsSync(path)) continue;
    const serverVersion = await temporalServerVersion(path);
    if (serverVersion !== undefined) return { found: { rung, path, serverVersion }, tried };
    tried.push(`${path}: does not print the version of a Temporal server`);
  }
  tried.push(only === undefined ? 'no temporal on PATH' : `${only}: not usable`);
  if (only === undefined) tried.push(`no cached copy at ${temporalCachePath(env)}`);
  return { found: undefined, tried };
}

/** The version of the server inside a Temporal CLI; `undefined` when the program is something else or broken. */
export async function temporalServerVersion(path: string): Promise<string | undefined> {
  try {
    const { stdout } = await run(path, ['--version'], { timeout: 20_000 });
    return /^temporal version .*\(Server (\d+\.\d+\.\d+)/.exec(stdout)?.[1];
  } catch {
    return undefined;
  }
}
