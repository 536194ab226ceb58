import { statfs } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { type DoctorPart, fine, wrong } from './doctor-part.ts';
import { isFree } from './free-port.ts';
import { inspectPostgres } from './inspect-postgres.ts';
import { inspectTemporal } from './inspect-temporal.ts';
import type { StackOptions } from './stack.ts';
import { runningServers } from './stop-stack.ts';

export interface InspectOptions extends StackOptions {
  /** Called with the URL of the PostgreSQL that answers, for the parts that only the caller can inspect. */
  readonly inspectTarget?: (url: string) => Promise<readonly DoctorPart[]>;
}

const NODE_MINIMUM = [20, 19] as const;
const DISK_MINIMUM = 1024 ** 3;

/**
 * Looks at everything that the embedded default needs: what is there, which version, by which way it is found,
 * and the exact fix. Starts nothing, installs nothing and changes nothing. Never throws: a part that cannot
 * be inspected is a part that is wrong.
 */
export async function inspectEnvironment(options: InspectOptions = {}): Promise<DoctorPart[]> {
  const asked = {
    ...options,
    env: options.env ?? process.env,
    stateDir: resolve(options.stateDir ?? '.sluice'),
  };
  const parts: readonly [string, () => Promise<readonly DoctorPart[]>][] = [
    ['node', async () => [inspectNode()]],
    ['npm packages', async () => [await inspectPackages()]],
    ['temporal', () => inspectTemporal(asked)],
    ['postgresql', () => inspectPostgres(asked)],
    ['disk', async () => [await inspectDisk(asked.stateDir)]],
    ['ports', () => inspectPorts(asked.stateDir)],
  ];
  const found = await Promise.all(
    parts.map(async ([part, inspect]) => {
      try {
        return await inspect();
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        return [wrong(part, null, `it could not be inspected: ${reason}`)];
      }
    }),
  );
  return found.flat();
}

function inspectNode(): DoctorPart {
  const version = process.versions.node;
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const isOld = major < NODE_MINIMUM[0] || (major === NODE_MINIMUM[0] && minor < NODE_MINIMUM[1]);
  return isOld
    ? wrong('node', process.execPath, `install Node.js ${NODE_MINIMUM.join('.')} or newer`, { version })
    : fine('node', process.execPath, { version });
}

async function inspectPackages(): Promise<DoctorPart> {
  const { packagesAreCurrent, root } = await import('../scripts/packages.mjs');
  return packagesAreCurrent()
    ? fine('npm packages', 'as package-lock.json says')
    : wrong('npm packages', 'not as package-lock.json says', `cd ${root} && npm ci`);
}

async function inspectDisk(stateDir: string): Promise<DoctorPart> {
  const dir = await statfs(stateDir).then(
    () => stateDir,
    () => dirname(stateDir),
  );
  const { bavail, bsize } = await statfs(dir);
  const free = bavail * bsize;
  const shown = `${(free / 1024 ** 3).toFixed(1)} GiB free in ${dir}`;
  return free < DISK_MINIMUM ? wrong('disk', shown, 'free at least 1 GiB there') : fine('disk', shown);
}

async function inspectPorts(stateDir: string): Promise<DoctorPart[]> {
  if (runningServers(stateDir).includes('temporal')) return [];
  return await Promise.all(
    [7233, 8233].map(async (port) =>
      (await isFree(port))
        ? fine('ports', `${port} is free`)
        : fine('ports', `${port} is taken by another program, so another port will be used`),
    ),
  );
}
