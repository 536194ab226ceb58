import { resolve } from 'node:path';
import { attachOrStartPostgres } from './attach-or-start-postgres.ts';
import { attachOrStartTemporal } from './attach-or-start-temporal.ts';
import type { Stack, StackOptions } from './stack.ts';
import { stopCluster } from './start-cluster.ts';
import { stopDevServer } from './start-dev-server.ts';
import { prepareStateDir, startLockFile } from './state-file.ts';
import { withLock } from './with-lock.ts';

/**
 * Finds Temporal and PostgreSQL or starts them, first that works, and attaches to those that this directory
 * started before. A server that is configured (`TEMPORAL_ADDRESS`, a profile, `DATABASE_URL`, `PGHOST`) is the
 * one that is used: when it does not answer, that is an error, and nothing is started in its place.
 * What is started here outlives the caller: `stop()` or {@link stopStack} ends it.
 * @throws {SluiceError} `temporal_unreachable`, `temporal_not_ready`, `target_unreachable`, `usage`
 */
export async function startStack(options: StackOptions = {}): Promise<Stack> {
  const stateDir = resolve(options.stateDir ?? '.sluice');
  prepareStateDir(stateDir);
  const asked = { ...options, env: options.env ?? process.env, stateDir };
  const waiting = { ...options, waitingFor: 'another command that starts the servers of this directory' };
  return await withLock(startLockFile(stateDir), waiting, async () => {
    const [temporal, postgres] = await Promise.allSettled([
      attachOrStartTemporal(asked),
      attachOrStartPostgres(asked),
    ]);
    const stop = async () => {
      await Promise.all([stopStarted(temporal, stopDevServer), stopStarted(postgres, stopCluster)]);
    };
    if (temporal.status === 'rejected' || postgres.status === 'rejected' || options.signal?.aborted) {
      await stop();
      throw temporal.status === 'rejected'
        ? temporal.reason
        : postgres.status === 'rejected'
          ? postgres.reason
          : options.signal?.reason;
    }
    return { stateDir, temporal: temporal.value, postgres: postgres.value, stop };
  });
}

type Started = PromiseSettledResult<Stack['temporal'] | Stack['postgres']>;

async function stopStarted(server: Started, stopServer: typeof stopCluster): Promise<void> {
  if (server.status === 'rejected' || !server.value.started || server.value.process === null) return;
  await stopServer(server.value.process);
}
