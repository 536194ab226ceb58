import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { findLocalPostgres } from '../../local/find-postgres.ts';
import { reachableBinDir } from '../../local/reachable-programs.ts';
import { type Cluster, startCluster } from '../../local/start-cluster.ts';
import { unprivilegedUser } from '../../local/unprivileged-user.ts';

const run = promisify(execFile);

export interface OwnClusterOptions {
  /** Directory of the test; others can enter it. */
  readonly dir: string;
  readonly password: string;
  readonly wantedPort?: number;
  /** Becomes a standby of this server. */
  readonly standbyOf?: string;
}

/** Starts, or starts again, a PostgreSQL that a test may stop: its data is in `dir`. */
export async function startOwnCluster({
  dir,
  password,
  wantedPort,
  standbyOf,
}: OwnClusterOptions): Promise<Cluster> {
  const user = unprivilegedUser();
  const programs = (await findLocalPostgres()).found[0];
  if (programs === undefined) throw new Error('no PostgreSQL on this machine');
  const binDir = await reachableBinDir(programs, user);
  const dataDir = join(dir, standbyOf === undefined ? 'primary' : 'standby');
  if (standbyOf !== undefined && !existsSync(dataDir)) {
    const owner = user === undefined ? {} : { uid: user.uid, gid: user.gid };
    const args = [
      '--write-recovery-conf',
      '--checkpoint=fast',
      `--pgdata=${dataDir}`,
      `--dbname=${standbyOf}`,
    ];
    await run(join(binDir, 'pg_basebackup'), args, { cwd: dir, ...owner });
  }
  return startCluster({
    programs: { ...programs, binDir },
    user,
    dataDir,
    logFile: `${dataDir}.log`,
    password,
    unsafe: true,
    ...(wantedPort === undefined ? {} : { wantedPort }),
  });
}
