import { EXIT, type ExitCode } from '../contracts/error-codes.ts';
import type { Stack } from '../local/stack.ts';
import { startStack } from '../local/start-stack.ts';
import { untilServerEnds } from '../local/stop-stack.ts';
import type { RunningWorker } from '../worker.ts';
import { type Context, withContext } from './context.ts';
import { prepare } from './init.ts';
import { untilInterrupted } from './interrupt.ts';
import type { GlobalOptions } from './options.ts';
import { note, printResult } from './print.ts';
import { aborted, startOwnWorker } from './worker.ts';

type UpOptions = GlobalOptions & { readonly detach?: boolean; readonly worker: boolean };

/**
 * `sluice up`: the servers, prepared, and a worker, until Ctrl-C. Only what it started is stopped. A configured
 * database is not touched; `sluice init` prepares it.
 */
export function up(_: readonly string[], options: UpOptions): Promise<ExitCode> {
  return withContext(options, async (context) => {
    const interrupted = untilInterrupted();
    const { stateDir, env } = context;
    let stack: Stack | undefined;
    let running: RunningWorker | undefined;
    try {
      stack = await startStack({ stateDir, env, progress: note, signal: interrupted.signal });
      if (stack.postgres.rung !== 'configured') await prepare(context, false);
      if (options.detach === true) {
        printStack(context, stack, false);
        note('the servers go on; `sluice worker` runs a worker, `sluice down` stops them');
        stack = undefined;
        return EXIT.done;
      }
      if (options.worker) running = await startOwnWorker(context);
      printStack(context, stack, options.worker);
      note('Ctrl-C stops it; the data stays');
      return await untilDone(stack, running, interrupted.signal);
    } finally {
      await running?.stop().catch((error: unknown) => note(`the worker ended badly: ${error}`));
      await stack?.stop();
      interrupted.release();
    }
  });
}

async function untilDone(
  stack: Stack,
  running: RunningWorker | undefined,
  signal: AbortSignal,
): Promise<ExitCode> {
  const ended = await Promise.race([
    untilServerEnds(stack, signal),
    aborted(signal).then(() => null),
    ...(running === undefined ? [] : [running.finished.then(() => 'worker' as const)]),
  ]);
  if (ended === null || signal.aborted) return EXIT.done;
  note(`${ended} has ended; look into ${stack.stateDir}/logs`);
  return EXIT.unavailable;
}

function printStack(context: Context, stack: Stack, hasWorker: boolean): void {
  const { temporal, postgres, stateDir } = stack;
  const result = {
    temporal: pick(temporal, ['address', 'namespace', 'uiUrl', 'version', 'rung', 'started']),
    postgres: {
      url: postgres.shownUrl,
      ...pick(postgres, ['major', 'version', 'rung', 'hasPgDump', 'started']),
    },
    stateDir,
    worker: hasWorker,
  };
  printResult(context.output, result, () =>
    [
      `temporal    ${temporal.address} (${temporal.version}, ${temporal.rung})`,
      `ui          ${temporal.uiUrl ?? 'not known; name it with TEMPORAL_UI_URL'}`,
      `postgresql  ${postgres.shownUrl} (${postgres.version}, ${postgres.rung})`,
      `data        ${stateDir}`,
      `worker      ${hasWorker ? 'runs here' : 'none here'}`,
    ].join('\n'),
  );
}

function pick<T, K extends keyof T>(from: T, keys: readonly K[]): Pick<T, K> {
  return Object.fromEntries(keys.map((key) => [key, from[key]])) as Pick<T, K>;
}
