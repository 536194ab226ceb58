import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chown, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { SluiceError } from '../contracts/error-codes.ts';
import { serverEnvironment } from './server-environment.ts';
import type { ClusterOptions } from './start-cluster.ts';

const run = promisify(execFile);

/**
 * Creates a PostgreSQL cluster with one superuser `postgres`, scram passwords only, UTF-8 and the C locale.
 * It appears under its name only when it is complete, so a killed attempt leaves nothing half-made in use.
 * @throws {SluiceError} `target_unreachable` with what initdb printed
 */
export async function createCluster(options: ClusterOptions): Promise<void> {
  const { programs, dataDir, user } = options;
  const attempt = `${dataDir}.new-${randomBytes(4).toString('hex')}`;
  const passwordFile = `${attempt}.password`;
  await mkdir(dirname(dataDir), { recursive: true });
  await mkdir(attempt, { mode: 0o700 });
  await writeFile(passwordFile, `${options.password}\n`, { mode: 0o600, flag: 'wx' });
  if (user !== undefined) {
    for (const path of [attempt, passwordFile]) await chown(path, user.uid, user.gid);
  }
  try {
    await run(
      join(programs.binDir, 'initdb'),
      [
        `--pgdata=${attempt}`,
        '--username=postgres',
        '--auth=scram-sha-256',
        `--pwfile=${passwordFile}`,
        '--encoding=UTF8',
        '--no-locale',
        ...(options.unsafe === true ? ['--no-sync'] : []),
      ],
      {
        ...(user === undefined ? {} : { uid: user.uid, gid: user.gid }),
        cwd: attempt,
        env: serverEnvironment(),
        timeout: 120_000,
        ...(options.signal === undefined ? {} : { signal: options.signal }),
      },
    );
    await rename(attempt, dataDir);
  } catch (error) {
    await rm(attempt, { recursive: true, force: true });
    options.signal?.throwIfAborted();
    const printed = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : String(error);
    throw new SluiceError(
      'target_unreachable',
      {
        what: `initdb of PostgreSQL ${programs.version} (${programs.binDir}) failed: ${printed}`,
        expected: `It creates a cluster in ${dataDir}${user === undefined ? '' : ` as user ${user.name}`}.`,
        safe: 'Nothing was left behind; correct the cause and try again.',
      },
      { cause: error },
    );
  } finally {
    await rm(passwordFile, { force: true });
  }
}
