import { installWorkerLog, workerLogLevel } from '../config/install-worker-log.ts';
import { EXIT, type ExitCode } from '../contracts/error-codes.ts';
import { startWorker } from '../worker.ts';
import { type Context, withContext } from './context.ts';
import { untilInterrupted } from './interrupt.ts';
import type { GlobalOptions } from './options.ts';
import { note } from './print.ts';

/** `sluice worker`: until SIGINT or SIGTERM; running activities get their grace. */
export function worker(_: readonly string[], options: GlobalOptions): Promise<ExitCode> {
  return withContext(options, async (context) => {
    const interrupted = untilInterrupted();
    try {
      const running = await startOwnWorker(context);
      note(`worker is ready on task queue ${context.taskQueue}`);
      await Promise.race([running.finished, aborted(interrupted.signal)]);
      note('worker is shutting down');
      await running.stop();
      return EXIT.done;
    } finally {
      interrupted.release();
    }
  });
}

/** A worker in this process, for every configured target. */
export async function startOwnWorker(context: Context) {
  const { endpoint } = await context.temporalServer();
  installWorkerLog(workerLogLevel(context.env));
  return startWorker({ endpoint, taskQueue: context.taskQueue, openTarget: (name) => context.target(name) });
}

/** Resolves when the signal aborts. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
