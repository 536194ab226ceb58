// end-with-run.ts DIRECTORY: waits until the test run that started it is gone, however it ended, then ends the
// servers that it left. Its standard input is a pipe of that run's process.
import { setTimeout as delay } from 'node:timers/promises';
import { isRunning } from '../../local/process-identity.ts';
import { endAbandonedRuns, ownerOf } from './abandoned-runs.ts';

const owner = ownerOf(process.argv[2] ?? '');
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);
process.stdin.resume().once('end', async () => {
  while (owner !== undefined && isRunning(owner)) await delay(50);
  await endAbandonedRuns();
});
