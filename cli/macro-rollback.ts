import { findRun } from '../client/find-run.ts';
import { sendUpdate } from '../client/send-update.ts';
import type { ControlInput } from '../contracts/control.ts';
import { EXIT, type ExitCode, SluiceError } from '../contracts/error-codes.ts';
import { controlOf } from './actor.ts';
import { confirm } from './ask.ts';
import { type Context, withContext } from './context.ts';
import { followRun } from './follow-run.ts';
import { type LocatedRun, locateOpenRun, locateRun } from './locate-run.ts';
import { printDecision } from './macro-decide.ts';
import { printStarted, sayStarted, takeOverOf } from './macro-start.ts';
import type { ChangeOptions, WatchOptions } from './options.ts';
import { note, printResult } from './print.ts';
import { startUndoRun } from './start-run.ts';
import { CALL_MS } from './temporal-access.ts';

type RollbackOptions = ChangeOptions & WatchOptions & { readonly takeOver?: boolean };

/**
 * `sluice macro rollback [RUN]`: an open run takes itself back; one that has ended or was terminated is taken back by
 * an undo run built from its receipts. Exit code 0 with `--wait`: it is rolled back.
 */
export function macroRollback([reference]: readonly string[], options: RollbackOptions): Promise<ExitCode> {
  return withContext(options, async (context) => {
    const run = reference === undefined ? await demandNamed(context) : await locateRun(context, reference);
    const what = run.known === null ? 'the open run' : `run ${run.known.runNo} (${run.known.macro})`;
    const how = run.isOpen ? 'It is open and takes itself back.' : 'It has ended; an undo run takes it back.';
    if (options.dryRun === true) {
      const { workflowId, temporalRunId, isOpen } = run;
      const result = {
        workflowId,
        temporalRunId,
        isOpen,
        runNo: run.known?.runNo ?? null,
        rolledBack: false,
      };
      printResult(context.output, result, () => `would roll back ${what} on ${context.targetName()}. ${how}`);
      note('dry run: nothing was started');
      return EXIT.done;
    }
    await confirm(`Roll back ${what} on ${context.targetName()}? ${how}`, options);
    const control = await controlOf(options, context.env);
    return run.isOpen
      ? rollBackOpen(context, run, control, options)
      : undoEnded(context, run, control, options);
  });
}

async function rollBackOpen(
  context: Context,
  run: LocatedRun,
  control: ControlInput,
  options: WatchOptions,
): Promise<ExitCode> {
  const answer = await run.temporal.within(CALL_MS, () => sendUpdate(run.handle, 'rollback', { ...control }));
  if (options.wait === true)
    return rolledBackIsDone(await followRun(context, run, { ...options, stay: true }));
  printDecision(context.output, run, 'rollback', { ...control, answer });
  return EXIT.done;
}

async function undoEnded(
  context: Context,
  run: LocatedRun,
  control: ControlInput,
  options: RollbackOptions,
): Promise<ExitCode> {
  const known = run.known ?? (await context.record('find a run', (client) => findRun(client, 'latest')));
  const undo = await startUndoRun(context, {
    ...control,
    ...takeOverOf(options),
    macro: known.macro,
    undoRunId: known.runId,
  });
  sayStarted(undo, `rollback of run ${known.runNo} (${known.macro})`);
  if (options.wait === true)
    return rolledBackIsDone(await followRun(context, undo, { ...options, stay: true }));
  return printStarted(context, undo, { macro: known.macro, planHash: known.planHash });
}

/** Here `rolled_back` is what was asked for. */
export function rolledBackIsDone(exit: ExitCode): ExitCode {
  return exit === EXIT.rolledBack ? EXIT.done : exit;
}

async function demandNamed(context: Context): Promise<LocatedRun> {
  const open = await locateOpenRun(context);
  if (open !== null) return open;
  const latest = await context.record('find a run', (client) => findRun(client, 'latest').catch(() => null));
  const hint =
    latest === null
      ? ''
      : ` The latest is run ${latest.runNo} (${latest.macro}, ${latest.outcome ?? 'not closed'}).`;
  throw new SluiceError('usage', {
    what: `No run is open on target ${context.targetName()}.${hint}`,
    expected: 'Name the run that is to be taken back: sluice macro rollback RUN.',
    safe: 'Nothing was changed.',
  });
}
