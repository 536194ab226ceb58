import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { programDirs } from '../../../local/program-dirs.ts';

const PLACE = 'src/test/isolation/isolationtester';

/**
 * PostgreSQL's own tester of races, which lies beside the build files for extensions, not on the `PATH`: under the
 * `lib/pgxs` of each installed PostgreSQL, or where its `pg_config --pgxs` points.
 * @throws {Error} naming the Debian package that carries it
 */
export function findIsolationtester(env: NodeJS.ProcessEnv = process.env): string {
  const beside = programDirs('postgres', env).map((binDir) => join(dirname(binDir), 'lib/pgxs', PLACE));
  const told = programDirs('pg_config', env).flatMap((binDir) => besidePgxs(join(binDir, 'pg_config')));
  const looked = [...new Set([...beside, ...told])];
  const found = looked.find((path) => existsSync(path));
  if (found !== undefined) return found;
  throw new Error(
    `isolationtester is not installed: none of ${looked.join(', ')}. On Debian the package postgresql-client-15 ` +
      'carries it (`apt-get install postgresql` brings it along); elsewhere build it in src/test/isolation.',
  );
}

/** `…/pgxs/src/makefiles/pgxs.mk` names the directory. */
function besidePgxs(pgConfig: string): string[] {
  if (!existsSync(pgConfig)) return [];
  try {
    const makefile = execFileSync(pgConfig, ['--pgxs'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    return [join(dirname(makefile.trim()), '../..', PLACE)];
  } catch {
    return [];
  }
}
