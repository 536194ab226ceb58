import {
  appendFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isRunning, type ProcessIdentity, processIdentity } from '../../local/process-identity.ts';
import { stopProcess } from '../../local/stop-process.ts';
import { stopStack } from '../../local/stop-stack.ts';

/** Says whose run a directory is, so that a later run can tell that this one was killed. */
export function claimRunDirectory(dir: string): void {
  writeFileSync(join(dir, 'owner'), `${JSON.stringify(processIdentity(process.pid))}\n`);
}

/** The process that a directory's run belongs to. */
export function ownerOf(dir: string): ProcessIdentity | undefined {
  return read(join(dir, 'owner'))[0];
}

/** Notes a server that has to end with the run. */
export function recordServer(dir: string, server: ProcessIdentity): void {
  appendFileSync(join(dir, 'servers'), `${JSON.stringify(server)}\n`);
}

/**
 * Ends the servers of test runs that were killed before they could, and of stacks in directories of such a run,
 * and removes what they left.
 */
export async function endAbandonedRuns(): Promise<void> {
  for (const name of readdirSync(tmpdir())) {
    if (!name.startsWith('sluice-test-')) continue;
    const dir = join(tmpdir(), name);
    const owner = ownerOf(dir);
    if (owner === undefined || isRunning(owner) || statSync(dir).uid !== process.getuid?.()) continue;
    await Promise.all(
      read(join(dir, 'servers')).map((server) =>
        stopProcess(server, [
          { signal: 'SIGINT', withinMs: 5_000 },
          { signal: 'SIGQUIT', withinMs: 5_000 },
        ]),
      ),
    );
    for (const entry of readdirSync(dir)) {
      const stateDir = join(dir, entry, '.sluice');
      if (existsSync(stateDir)) await stopStack({ stateDir });
    }
    rmSync(dir, { recursive: true, force: true });
  }
}

function read(file: string): ProcessIdentity[] {
  try {
    return readFileSync(file, 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line));
  } catch {
    return [];
  }
}
