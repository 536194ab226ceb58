import { installWorkerLog, workerLogLevel } from '../config/install-worker-log.ts';
import { EXIT, type ExitCode } from '../contracts/error-codes.ts';
import { deliveryTaskQueue, type WorkerRole } from '../contracts/names.ts';
import { startWorker } from '../worker.ts';
import { type Context, withContext } from './context.ts';
import { untilInterrupted } from './interrupt.ts';
import type { GlobalOptions } from './options.ts';
import { note } from './print.ts';

type WorkerOptions = GlobalOptions & { readonly only?: WorkerRole };

/** `sluice worker`: until SIGINT or SIGTERM; running activities get their grace. */
export function worker(_: readonly string[], options: WorkerOptions): Promise<ExitCode> {
  return withContext(options, async (context) => {
    const interrupted = untilInterrupted();
    try {
      const running = await startOwnWorker(context, options.only);
      const { taskQueue } = context;
      const queues = { macro: taskQueue, delivery: deliveryTaskQueue(taskQueue) };
      const polled = options.only === undefined ? Object.values(queues) : [queues[options.only]];
      note(`worker is ready on task queue ${polled.join(' and ')}`);
      await Promise.race([running.finished, aborted(interrupted.signal)]);
      note('worker is shutting down');
      await running.stop();
      return EXIT.done;
    } finally {
      interrupted.release();
    }
  });
}

/** A worker in this process, for every configured target; `only` leaves out the other kind of work. */
export async function startOwnWorker(context: Context, only?: WorkerRole) {
  const { endpoint } = await context.temporalServer();
  installWorkerLog(workerLogLevel(context.env));
  return startWorker({
    endpoint,
    taskQueue: context.taskQueue,
    env: context.env,
    openTarget: (name) => context.target(name),
    ...(only === undefined ? {} : { only }),
  });
}

/** Resolves when the signal aborts. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
