import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, test } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'sluice-fence-'));
  await cp(join(root, 'biome.json'), join(dir, 'biome.json'));
});
afterAll(() => rm(dir, { recursive: true }));

/** Lints one file by the project's rules, in a tree of its own. */
async function lint(path: string, text: string) {
  await mkdir(join(dir, dirname(path)), { recursive: true });
  await writeFile(join(dir, path), text);
  const biome = join(root, 'node_modules', '.bin', 'biome');
  return execa(biome, ['lint', '--vcs-enabled=false', path], { cwd: dir, reject: false, all: true });
}

test.each([
  ['workflows/x.ts', `import pg from 'pg';\nexport const x = pg;\n`],
  ['workflows/x.ts', `import { readFile } from 'node:fs/promises';\nexport const x = readFile;\n`],
  [
    'workflows/x.ts',
    `import { openSession } from '../target/open-session.ts';\nexport const x = openSession;\n`,
  ],
  ['contracts/x.ts', `import { z } from 'zod';\nexport const x = z;\n`],
  ['activities/x.ts', `import { macro } from '../workflows/macro.ts';\nexport const x = macro;\n`],
  [
    'workflows/x.ts',
    `import { replayLoop } from '../replay/replay-loop.ts';\nexport const x = replayLoop;\n`,
  ],
  ['replay/x.ts', `import { macro } from '../workflows/macro.ts';\nexport const x = macro;\n`],
  ['planning/x.ts', `import { note } from '../cli/print.ts';\nexport const x = note;\n`],
])('the fence refuses an import in %s: %s', async (path, text) => {
  const linted = await lint(path, text);
  expect(linted.exitCode).not.toBe(0);
  expect(linted.all).toContain('noRestrictedImports');
});

test.each([
  ['workflows/x.ts', `import { VERDICTS } from '../contracts/verdict.ts';\nexport const x = VERDICTS;\n`],
  ['contracts/x.ts', `import { VERDICTS } from './verdict.ts';\nexport const x = VERDICTS;\n`],
  ['activities/x.ts', `import { z } from 'zod';\nexport const x = z;\n`],
])('the fence lets through what belongs in %s', async (path, text) => {
  expect((await lint(path, text)).exitCode).toBe(0);
});
