import { existsSync, readdirSync, realpathSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';

/**
 * The directories in which PostgreSQL's programs may be: `SLUICE_PG_BIN` alone when it is set, else those of
 * `PATH` that hold the program (followed to where it really is), then where packages put them.
 */
export function programDirs(program: string, env: NodeJS.ProcessEnv): string[] {
  const only = env.SLUICE_PG_BIN;
  const places = only === undefined ? [...onPath(program, env), ...usualPlaces()] : [only];
  return [...new Set(places.map(real))];
}

function onPath(program: string, env: NodeJS.ProcessEnv): string[] {
  return (env.PATH ?? '')
    .split(delimiter)
    .filter((dir) => dir !== '' && existsSync(join(dir, program)))
    .map((dir) => dirname(real(join(dir, program))));
}

function usualPlaces(): string[] {
  const under = (parent: string, pattern: RegExp, rest = 'bin') => {
    try {
      return readdirSync(parent)
        .filter((name) => pattern.test(name))
        .map((name) => join(parent, name, rest));
    } catch {
      return [];
    }
  };
  return [
    ...under('/usr/lib/postgresql', /^\d+$/),
    ...under('/usr', /^pgsql-\d+$/),
    ...under('/usr/libexec', /^postgresql\d+$/, ''),
    ...under('/opt/homebrew/opt', /^postgresql(@\d+)?$/),
    ...under('/usr/local/opt', /^postgresql(@\d+)?$/),
    ...under('/home/linuxbrew/.linuxbrew/opt', /^postgresql(@\d+)?$/),
    ...under('/opt/local/lib', /^postgresql\d+$/),
    ...under('/Applications/Postgres.app/Contents/Versions', /^\d+$/),
    '/usr/local/pgsql/bin',
    '/usr/bin',
    '/usr/local/bin',
  ];
}

function real(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}
