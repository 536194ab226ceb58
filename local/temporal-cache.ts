import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';

/** The release of the Temporal CLI that is fetched or built when none is found. */
export const TEMPORAL_CLI_VERSION = '1.5.1';

/** The directory of everything that this project may fetch again: one per user, none in the checkout. */
export function cacheDir(env: NodeJS.ProcessEnv = process.env): string {
  if (env.SLUICE_CACHE) return env.SLUICE_CACHE;
  if (env.XDG_CACHE_HOME) return join(env.XDG_CACHE_HOME, 'sluice');
  const home = env.HOME || homedir();
  return home === '' || home === '/' ? join(tmpdir(), 'sluice-cache') : join(home, '.cache', 'sluice');
}

/** Where the Temporal CLI is kept once it was fetched or built. */
export function temporalCachePath(env: NodeJS.ProcessEnv = process.env): string {
  const program = process.platform === 'win32' ? 'temporal.exe' : 'temporal';
  return join(cacheDir(env), 'temporal', TEMPORAL_CLI_VERSION, program);
}
