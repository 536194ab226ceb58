import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { SluiceError } from '../contracts/error-codes.ts';
import type { PostgresPrograms } from './find-postgres.ts';
import { mayUse } from './may-use.ts';
import { SHARED_STATE_DIR } from './place-data.ts';
import type { SystemUser } from './unprivileged-user.ts';

/**
 * The directory to run the server programs from. Those of npm lie in the checkout, which the user that
 * PostgreSQL runs as may not be able to enter (`/root` is closed to others): then it is a copy.
 * @throws {SluiceError} `target_unreachable` when installed programs are closed to that user
 */
export async function reachableBinDir(
  programs: PostgresPrograms,
  user: SystemUser | undefined,
): Promise<string> {
  if (mayUse(join(programs.binDir, 'postgres'), user)) return programs.binDir;
  if (programs.rung === 'local') {
    throw new SluiceError('target_unreachable', {
      what: `User ${user?.name} may not run ${join(programs.binDir, 'postgres')}.`,
      expected: 'PostgreSQL cannot run as root, so another user must be able to run it.',
      safe: 'Nothing was started; install PostgreSQL where all users can run it.',
    });
  }
  const home = dirname(programs.binDir);
  const copy = join(SHARED_STATE_DIR, `postgresql-${programs.version}-${process.platform}-${process.arch}`);
  if (!existsSync(copy)) {
    await mkdir(SHARED_STATE_DIR, { recursive: true, mode: 0o755 });
    const attempt = await mkdtemp(`${copy}.new-`);
    await cp(home, join(attempt, 'native'), { recursive: true, verbatimSymlinks: true });
    await rename(join(attempt, 'native'), copy).catch((error: unknown) => {
      if (!existsSync(copy)) throw error;
    });
    await rm(attempt, { recursive: true, force: true });
  }
  return join(copy, basename(programs.binDir));
}
