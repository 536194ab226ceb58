import { readFile } from 'node:fs/promises';
import { EXIT, type ExitCode, SluiceError } from '../contracts/error-codes.ts';
import { runScript } from '../target/run-script.ts';
import { controlOf } from './actor.ts';
import { confirm } from './ask.ts';
import { type Context, withContext } from './context.ts';
import { withIuCore } from './iu-core.ts';
import type { Handler } from './lazily.ts';
import type { ChangeOptions } from './options.ts';
import { DISABLE_LEVELS, type DisableLevel } from './outbox.ts';
import { type OutboxHealth, readHealth } from './outbox-health.ts';
import { note, printResult } from './print.ts';

type GateOptions = ChangeOptions & { readonly level: DisableLevel };

const RUNBOOK = new URL('../sql/iu-core/runtime/disable/', import.meta.url);

/** Files of a level, each a transaction of its own. */
const CLOSES: Readonly<Record<DisableLevel, readonly string[]>> = {
  L0: ['l0_worker_gate.sql', 'l0_wait.sql'],
  L1: ['l1_master_gate.sql'],
  L2: ['l2_routes.sql'],
  L3: ['l3_triggers.sql'],
};
const OPENS: Readonly<Record<DisableLevel, readonly string[]>> = {
  L0: ['l0_worker_gate_back.sql'],
  L1: ['l1_master_gate_back.sql'],
  L2: ['l2_routes_back.sql'],
  L3: ['l3_triggers_back.sql'],
};

/** `sluice outbox disable --level L`: the runbook up to and with that level, in its order. */
export const outboxDisable: Handler<GateOptions> = (_, options) =>
  change(options, 'disable', DISABLE_LEVELS.slice(0, DISABLE_LEVELS.indexOf(options.level) + 1), CLOSES);

/** `sluice outbox enable --level L`: the way back of that level alone; refused while a higher one is still closed. */
export const outboxEnable: Handler<GateOptions> = (_, options) =>
  change(options, 'enable', [options.level], OPENS);

function change(
  options: GateOptions,
  verb: 'disable' | 'enable',
  levels: readonly DisableLevel[],
  files: typeof CLOSES,
): Promise<ExitCode> {
  return withContext(options, async (context) => {
    const named = levels.flatMap((level) => files[level]);
    if (verb === 'enable') await demandHigherOpen(context, options.level);
    if (options.dryRun !== true)
      await confirm(`${verb} ${levels.join(', ')} on ${context.targetName()}?`, options);
    const control = await controlOf(options, context.env);
    if (options.dryRun === true) note(`dry run: ${named.join(', ')} would run`);
    else await runFiles(context, named, `outbox ${verb} ${options.level} by ${control.actor}`);
    const { gates } = await readHealth(context);
    const result = { verb, levels, files: named, done: options.dryRun !== true, gates, ...control };
    printResult(context.output, result, () => gatesText(verb, levels, gates));
    return EXIT.done;
  });
}

function runFiles(context: Context, files: readonly string[], doing: string): Promise<void> {
  return withIuCore(context, doing, async ({ client, transact }) => {
    for (const file of files) {
      const text = await readFile(new URL(file, RUNBOOK), 'utf8');
      await transact('read write', () => runScript(client, file, text));
      note(`${file} has run`);
    }
  });
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
