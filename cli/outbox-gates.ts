import { readFile } from 'node:fs/promises';
import type { ControlInput } from '../contracts/control.ts';
import { EXIT, type ExitCode, SluiceError } from '../contracts/error-codes.ts';
import { runScript } from '../target/run-script.ts';
import { controlOf } from './actor.ts';
import { confirm } from './ask.ts';
import { type Context, withContext } from './context.ts';
import { withIuCore } from './iu-core.ts';
import type { Handler } from './lazily.ts';
import type { ChangeOptions } from './options.ts';
import { DISABLE_LEVELS, type DisableLevel } from './outbox.ts';
import { actingAs } from './outbox-acting-as.ts';
import { type OutboxHealth, readHealth } from './outbox-health.ts';
import { note, printResult } from './print.ts';

type GateOptions = ChangeOptions & { readonly level: DisableLevel };

const RUNBOOK = new URL('../sql/iu-core/runtime/disable/', import.meta.url);

/** The second half of closing: returns when nothing is running and nothing can start. */
const WAIT = 'l0_wait.sql';
/** Files of a level, each a transaction of its own. Gates close first; what a run still reads changes after the wait. */
const GATES: Partial<Record<DisableLevel, string>> = { L0: 'l0_worker_gate.sql', L1: 'l1_master_gate.sql' };
const BEYOND: Partial<Record<DisableLevel, string>> = { L2: 'l2_routes.sql', L3: 'l3_triggers.sql' };
const OPENS: Readonly<Record<DisableLevel, readonly string[]>> = {
  L0: ['l0_worker_gate_back.sql'],
  L1: ['l1_master_gate_back.sql'],
  L2: ['l2_routes_back.sql'],
  L3: ['l3_triggers_back.sql'],
};

/** `sluice outbox disable --level L`: the runbook up to and with that level, in its order. */
export const outboxDisable: Handler<GateOptions> = (_, options) => {
  const levels = DISABLE_LEVELS.slice(0, DISABLE_LEVELS.indexOf(options.level) + 1);
  const filesOf = (files: Partial<Record<DisableLevel, string>>) =>
    levels.flatMap((level) => files[level] ?? []);
  return change(options, 'disable', levels, [...filesOf(GATES), WAIT, ...filesOf(BEYOND)]);
};

/** `sluice outbox enable --level L`: the way back of that level alone; refused while a higher one is still closed. */
export const outboxEnable: Handler<GateOptions> = (_, options) =>
  change(options, 'enable', [options.level], OPENS[options.level]);

function change(
  options: GateOptions,
  verb: 'disable' | 'enable',
  levels: readonly DisableLevel[],
  files: readonly string[],
): Promise<ExitCode> {
  return withContext(options, async (context) => {
    if (verb === 'enable') await demandHigherOpen(context, options.level);
    if (options.dryRun !== true)
      await confirm(`${verb} ${levels.join(', ')} on ${context.targetName()}?`, options);
    const control = await controlOf(options, context.env);
    if (options.dryRun === true) note(`dry run: ${files.join(', ')} would run`);
    else await runFiles(context, files, `outbox ${verb} ${options.level} by ${control.actor}`, control);
    const { gates } = await readHealth(context);
    const result = { verb, levels, files, done: options.dryRun !== true, gates, ...control };
    printResult(context.output, result, () => gatesText(verb, levels, gates));
    return EXIT.done;
  });
}

function runFiles(
  context: Context,
  files: readonly string[],
  doing: string,
  control: ControlInput,
): Promise<void> {
  return withIuCore(context, doing, async (given) => {
    const transact = actingAs(given, control);
    for (const file of files) {
      const text = await readFile(new URL(file, RUNBOOK), 'utf8');
      const { checks } = await transact(() => runScript(given.client, file, text)).catch((error: unknown) => {
        throw file === WAIT ? stillRunning(error) : error;
      });
      const unmet = checks.find(({ verdict }) => verdict !== 'pass');
      if (unmet !== undefined) throw notWaitedFor(`${file}: ${unmet.detail}.`);
      note(`${file} has run`);
    }
  });
}

/** The gates are closed by then, and that stays: what is safe differs from any other lock that was not had. */
function stillRunning(error: unknown): unknown {
  if (!(error instanceof SluiceError) || error.code !== 'lock_timeout') return error;
  return notWaitedFor(error.text.what, error);
}

function notWaitedFor(what: string, cause?: unknown): SluiceError {
  return new SluiceError(
    'run_under_way',
    {
      what,
      expected:
        'No run is left. One ends with its batch: repeat the command then, or end it with pg_terminate_backend(pid), which leaves its batch undecided.',
      safe: 'The gates are closed, and that is committed: nothing new can start. Levels above L1 were not begun.',
    },
    { cause },
  );
}

/** A worker that ran while its routes are off would find no route for its events. */
async function demandHigherOpen(context: Context, level: DisableLevel): Promise<void> {
  const closed = await withIuCore(context, 'outbox enable', ({ client, transact }) =>
    transact('read only', async () => {
      const found = await client.query<Record<DisableLevel, boolean>>(
        `select
           false as "L0",
           not fn_iu_gate_open('iu_core.outbound_enabled') as "L1",
           exists (select from iu_outbound_route where iu_outbound_route.disabled_by = 'L2') as "L2",
           exists (
             select
             from dot_config
             where dot_config.key = 'iu_core.l3_triggers_off'
               and coalesce(dot_config.value, '[]') <> '[]'
           ) as "L3"`,
      );
      const row = found.rows[0];
      return DISABLE_LEVELS.slice(DISABLE_LEVELS.indexOf(level) + 1).filter(
        (higher) => row?.[higher] === true,
      );
    }),
  );
  const highest = closed.at(-1);
  if (highest === undefined) return;
  throw new SluiceError('update_refused', {
    what: `${closed.join(' and ')} ${closed.length === 1 ? 'is' : 'are'} still disabled.`,
    expected: `The highest level is opened first: sluice outbox enable --level ${highest}.`,
    safe: 'Nothing was changed.',
  });
}

function gatesText(
  verb: string,
  levels: readonly DisableLevel[],
  { master, worker }: OutboxHealth['gates'],
): string {
  const word = (isOpen: boolean) => (isOpen ? 'open' : 'closed');
  return `${verb} ${levels.join(', ')}: master gate ${word(master)}, worker gate ${word(worker)}`;
}
