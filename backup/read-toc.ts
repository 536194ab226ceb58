import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { serverEnvironment } from '../local/server-environment.ts';

const run = promisify(execFile);

/** Reads a dump's table of contents with `pg_restore --list`. @returns the number of its entries */
export async function readToc(binDir: string, file: string, signal?: AbortSignal): Promise<number> {
  const { stdout } = await run(join(binDir, 'pg_restore'), ['--list', file], {
    env: serverEnvironment(),
    maxBuffer: 1 << 30,
    ...(signal === undefined ? {} : { signal }),
  });
  return stdout.split('\n').filter((line) => line !== '' && !line.startsWith(';')).length;
}
