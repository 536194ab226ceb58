#!/usr/bin/env node
// Starts the command line. The tree of commands is read through the quick loader, so that help and version answer
// at once; the slower one, which the commands themselves need, is registered only when a command runs.
import { createRequire } from 'node:module';
import { demandNode, fail, root } from '../scripts/packages.mjs';

demandNode();
const require = createRequire(import.meta.url);
const forget = quickLoader();
const { runCommandLine } = require('../cli/program.ts');
forget();

process.exit(
  await runCommandLine(process.argv.slice(2), async () => {
    const { register } = await import('tsx/esm/api');
    register();
  }),
);

function quickLoader() {
  try {
    return require('tsx/cjs/api').register();
  } catch {
    return fail(
      `The packages of ${root} are not installed. Expected those of package-lock.json. Nothing was changed; run npm ci there, or npm start.`,
      2,
    );
  }
}
