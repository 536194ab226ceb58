// Plain Node: this runs before any package is installed.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The checkout that these scripts belong to. */
export const root = join(dirname(fileURLToPath(import.meta.url)), '..');

/** Ends the process with exit code 2 when this Node.js is older than `engines` in package.json asks for. */
export function demandNode() {
  const wanted = read('package.json').engines.node.replace('>=', '');
  const number = (version) => version.split('.').reduce((sum, part) => sum * 1000 + Number(part), 0);
  if (number(process.versions.node) >= number(wanted)) return;
  fail(
    `This is Node.js ${process.versions.node}. Expected ${wanted} or newer. Nothing was changed; install it from https://nodejs.org and try again.`,
    2,
  );
}

/** Runs `npm ci`, its output on stderr, unless exactly the packages of package-lock.json are installed. */
export function installPackages() {
  if (packagesAreCurrent()) return;
  process.stderr.write('installing packages (npm ci)\n');
  const npm = process.env.npm_execpath;
  const [program, ...args] = npm?.endsWith('.js') ? [process.execPath, npm] : ['npm'];
  const { status, error } = spawnSync(program, [...args, 'ci', '--no-audit', '--no-fund'], {
    cwd: root,
    stdio: ['ignore', process.stderr, process.stderr],
    shell: process.platform === 'win32',
  });
  if (status === 0) return;
  fail(
    `npm ci ended with ${error?.message ?? status}. Expected it to install the packages of package-lock.json. Nothing else was changed; correct the cause above and try again.`,
    2,
  );
}

/** Whether every package of the lock file that this platform needs is installed in its version, and no other. */
export function packagesAreCurrent() {
  let installed;
  try {
    installed = read('node_modules/.package-lock.json').packages;
  } catch {
    return false;
  }
  const locked = read('package-lock.json').packages;
  const isWanted = ([path, entry]) => path !== '' && !entry.optional && !entry.devOptional;
  return (
    Object.entries(locked).every((item) => !isWanted(item) || item[0] in installed) &&
    Object.entries(installed).every(([path, entry]) => locked[path]?.version === entry.version)
  );
}

/** Prints the reason on stderr and ends the process. */
export function fail(reason, exitCode) {
  process.stderr.write(`${reason}\n`);
  process.exit(exitCode);
}

function read(path) {
  return JSON.parse(readFileSync(join(root, path), 'utf8'));
}
