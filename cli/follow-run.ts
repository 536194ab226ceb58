import type { ExitCode } from '../contracts/error-codes.ts';
import type { Context } from './context.ts';
import { untilInterrupted } from './interrupt.ts';
import type { LocatedRun } from './locate-run.ts';
import type { WatchOptions } from './options.ts';
import { note, printResult } from './print.ts';
import type { RunView } from './run-view.ts';
import { progressView } from './show-progress.ts';
import { runText } from './step-table.ts';
import { type Watched, watchRun } from './watch-run.ts';

/**
 * Follows a run with its progress on stderr, prints where it stands at the end on stdout, and gives the exit code.
 * Ctrl-C leaves the run going and says how to follow it again.
 */
export async function followRun(context: Context, run: LocatedRun, options: WatchOptions): Promise<ExitCode> {
  const watched = await watchWithProgress(context, run, options);
  if (watched.run !== null) printResult(context.output, watched.run, () => runText(watched.run as RunView));
  if (watched.why !== 'ended') note(stillGoing(context, watched));
  return watched.exit;
}

/** {@link watchRun} with the live list or the lines; on JSON Lines each change is a line of stdout. */
export async function watchWithProgress(
  context: Context,
  run: LocatedRun,
  options: WatchOptions,
): Promise<Watched> {
  const interrupted = untilInterrupted();
  const view = await progressView(context.output);
  const stay = options.stay ?? process.stderr.isTTY === true;
  let last = '';
  let silent = '';
  try {
    return await watchRun(context, run, {
      timeoutMs: options.timeout,
      stay,
      signal: interrupted.signal,
      onStatus(status) {
        const text = JSON.stringify(status);
        if (text === last) return;
        last = text;
        if (context.output === 'jsonl' && status.outcome === null) process.stdout.write(`${text}\n`);
        view.show(status);
      },
      onSilence(why) {
        if ((why ?? '') === silent) return;
        silent = why ?? '';
        note(why ?? 'the run answers again');
      },
    });
  } finally {
    await view.end();
    interrupted.release();
  }
}

function stillGoing(context: Context, { why, run }: Watched): string {
  const ref = run?.runNo === null || run === null ? '' : ` ${run.runNo}`;
  const again = `sluice macro watch${ref} --target ${context.targetName()}`;
  const because = {
    waits: 'The run waits for a person',
    timeout: 'The time is over',
    interrupted: 'Interrupted',
    ended: '',
  }[why];
  return `${because}; the run goes on. Follow it again: ${again}`;
}
