import { EXIT, type ExitCode } from '../contracts/error-codes.ts';
import type { ReplayProgress } from '../contracts/replay.ts';
import type { Context } from './context.ts';
import { type FollowedReplay, type FollowReplayOptions, followReplay } from './dead-letter-replay-follow.ts';
import type { ReplayWorkflow } from './dead-letter-replay-workflow.ts';
import { untilInterrupted } from './interrupt.ts';
import type { WatchOptions } from './options.ts';
import { note, printResult } from './print.ts';

/** How often a line tells the progress where nobody looks at it live, in milliseconds. */
const SAY_EVERY_MS = 5_000;

/**
 * Follows the run of a plan with its progress on stderr, prints how it ended on stdout, and gives the exit code: 0 where its
 * canary passed, or it is executed and no letter failed; 5 where some did, or where it was stopped or cancelled. Ctrl-C leaves it going, and says how to
 * follow it again and how to cancel it.
 */
export async function followWithProgress(
  context: Context,
  workflow: ReplayWorkflow,
  options: WatchOptions,
): Promise<ExitCode> {
  const interrupted = untilInterrupted();
  const show = progressOn(context);
  let followed: FollowedReplay;
  try {
    followed = await followReplay(context, workflow, {
      timeoutMs: options.timeout,
      signal: interrupted.signal,
      ...show,
    });
  } finally {
    show.end();
    interrupted.release();
  }
  const { why, ended, reading } = followed;
  const target = context.targetName();
  const short = workflow.planHash.slice(0, 16);
  if (reading !== null) {
    const { progress } = reading;
    const result = {
      target,
      workflowId: workflow.workflowId,
      outcome: ended?.outcome ?? null,
      because: ended?.because ?? null,
      ...progress,
    };
    printResult(context.output, result, () => endText(followed, short, target));
  }
  if (why === 'ended') return exitOf(followed);
  note(
    [
      `${why === 'timeout' ? 'The time is over' : 'Interrupted'}; the run goes on.`,
      `Follow it again: sluice dead-letter replay watch ${short} --target ${target}`,
      `Stop it: sluice dead-letter replay cancel ${short} --target ${target} --reason "…"`,
    ].join('\n'),
  );
  return why === 'timeout' ? EXIT.waiting : EXIT.interrupted;
}

/** Counts in one line. */
export function progressText(progress: ReplayProgress): string {
  const { letters, resolved, failed, skipped, inFlight, canary, ratePerSecond } = progress;
  const { heldBy, heldBecause } = progress;
  const settled = resolved + failed + skipped;
  const percent = letters === 0 ? 100 : Math.floor((100 * settled) / letters);
  return [
    `${settled} of ${letters} letters (${percent} %): ${resolved} resolved, ${failed} failed, ${skipped} skipped`,
    ...(inFlight > 0 ? [`${inFlight} in flight`] : []),
    ...(canary === 'none' ? [] : [`canary ${canary}`]),
    ...(ratePerSecond === null ? [] : [`at most ${ratePerSecond}/s`]),
    ...(heldBy === null ? [] : [`held by ${heldBy}: ${heldBecause ?? ''}`]),
  ].join('; ');
}

function exitOf({ ended, reading }: FollowedReplay): ExitCode {
  if (ended?.outcome === 'canary_passed') return EXIT.done;
  return ended?.outcome === 'executed' && reading?.progress.failed === 0 ? EXIT.done : EXIT.needsAction;
}

function endText({ ended, reading }: FollowedReplay, short: string, target: string): string {
  if (reading === null) return '';
  const { progress } = reading;
  if (ended === null) return progressText(progress);
  const because = ended.because === null ? '' : ` (${ended.because})`;
  const goesOn = `sluice dead-letter replay ${short} --target ${target} --reason "…"`;
  return [
    `${ended.outcome.replace('_', ' ')}${because}: ${progressText(progress)}; ${progress.tries} tries`,
    ...(progress.failed === 0 ? [] : [`what failed stays open: sluice dead-letter list --target ${target}`]),
    ...(ended.outcome === 'cancelled' || ended.outcome === 'canary_passed' ? [`the rest: ${goesOn}`] : []),
    `evidence: sluice dead-letter replay show ${short} --target ${target} --evidence DIR`,
  ].join('\n');
}

/** One line that moves on a terminal, a line every few seconds elsewhere, and each change as a line of stdout with JSON Lines. */
function progressOn({ output }: Context): Required<Pick<FollowReplayOptions, 'onReading' | 'onSilence'>> & {
  end(): void;
} {
  const isLive = process.stderr.isTTY === true && process.env.TERM !== 'dumb' && output !== 'jsonl';
  let last = '';
  let held = '';
  let silent = '';
  let saidAt = Number.NEGATIVE_INFINITY;
  let isDrawn = false;
  const end = () => {
    if (isDrawn) process.stderr.write('\n');
    isDrawn = false;
  };
  return {
    end,
    onReading({ progress }) {
      const text = progressText(progress);
      if (text === last) return;
      last = text;
      if (output === 'jsonl') process.stdout.write(`${JSON.stringify(progress)}\n`);
      if (isLive) {
        const columns = process.stderr.columns ?? 80;
        process.stderr.write(`\r${text.slice(0, columns - 1).padEnd(columns - 1)}`);
        isDrawn = true;
        return;
      }
      // A hold is news; counts can wait.
      const isNews = (progress.heldBy ?? '') !== held;
      if (!isNews && performance.now() - saidAt < SAY_EVERY_MS) return;
      held = progress.heldBy ?? '';
      saidAt = performance.now();
      note(text);
    },
    onSilence(why) {
      if ((why ?? '') === silent) return;
      silent = why ?? '';
      end();
      note(why ?? 'it answers again');
    },
  };
}
