import { resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { SluiceError } from '../contracts/error-codes.ts';
import { lockFileOf } from './postmaster-lock-file.ts';
import { isRunning } from './process-identity.ts';
import type { Stack, StackOptions } from './stack.ts';
import { stopCluster } from './start-cluster.ts';
import { stopDevServer } from './start-dev-server.ts';
import { prepareStateDir, readState, startLockFile } from './state-file.ts';
import { withLock } from './with-lock.ts';

/** The servers of a directory. */
export type ServerName = 'temporal' | 'postgres';

/** Which of a directory's own servers run now. */
export function runningServers(stateDir = '.sluice'): ServerName[] {
  const { temporal, postgres } = processes(resolve(stateDir));
  return [...(temporal ? ['temporal' as const] : []), ...(postgres ? ['postgres' as const] : [])];
}

/**
 * Stops the servers that this directory started, whoever started them; the data stays. Resolves to those that
 * were stopped: none when none ran. A configured server is not touched.
 * @throws {SluiceError} `unexpected` when one does not end
 */
export async function stopStack(options: StackOptions = {}): Promise<{ readonly stopped: ServerName[] }> {
  const stateDir = resolve(options.stateDir ?? '.sluice');
  prepareStateDir(stateDir);
  const waiting = { ...options, waitingFor: 'another command that starts the servers of this directory' };
  return await withLock(startLockFile(stateDir), waiting, async () => {
    const { temporal, postgres } = processes(stateDir);
    const stopped = runningServers(stateDir);
    const gone = await Promise.all([
      temporal === undefined || stopDevServer(temporal),
      postgres === undefined || stopCluster(postgres),
    ]);
    if (gone.includes(false)) {
      throw new SluiceError('unexpected', {
        what: `Not all servers of ${stateDir} ended: ${runningServers(stateDir).join(', ')}.`,
        expected: 'They end within a minute of being asked.',
        safe: 'Their data is whole; look into the logs beside it, and try again.',
      });
    }
    return { stopped };
  });
}

/** Resolves to the first of the stack's own servers that ends, or to null when the signal aborts first. */
export async function untilServerEnds(stack: Stack, signal: AbortSignal): Promise<ServerName | null> {
  while (!signal.aborted) {
    for (const name of ['temporal', 'postgres'] as const) {
      const known = stack[name].process;
      if (known !== null && !isRunning(known)) return name;
    }
    await delay(300, undefined, { signal }).catch(() => undefined);
  }
  return null;
}

function processes(stateDir: string) {
  const state = readState(stateDir);
  const temporal = state.temporal?.process;
  const postgres = state.postgres === undefined ? undefined : lockFileOf(state.postgres.dataDir)?.process;
  return { temporal: temporal !== undefined && isRunning(temporal) ? temporal : undefined, postgres };
}
