// `npm test`: installs what is missing, then runs the tests. Arguments go to vitest.
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { join } from 'node:path';
import { demandNode, fail, installPackages, root } from './packages.mjs';

demandNode();
installPackages();
await demandPostgres();

const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
const child = spawn(process.execPath, [vitest, 'run', ...process.argv.slice(2)], {
  cwd: root,
  stdio: 'inherit',
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
child.once('exit', (code, signal) => process.exit(code ?? 128 + constants.signals[signal]));

/** The tests compare two majors of PostgreSQL; npm brings one, and the other has to be installed, with pg_dump. */
async function demandPostgres() {
  const { register } = await import('tsx/esm/api');
  const unregister = register();
  const { findLocalPostgres } = await import('../local/find-postgres.ts');
  const { found, tried } = await findLocalPostgres();
  await unregister();
  if (found.some((programs) => programs.hasPgDump)) return;
  const seen = found.map(({ binDir }) => `${binDir} has no pg_dump`);
  fail(
    `No PostgreSQL with server programs and pg_dump is installed (${[...seen, ...tried].join('; ')}). ` +
      'Expected PostgreSQL 15 or newer (Debian: apt install postgresql; macOS: brew install postgresql@15), or SLUICE_PG_BIN. ' +
      'No test was run.',
    2,
  );
}
