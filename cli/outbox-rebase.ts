import type pg from 'pg';
import { EXIT, type ExitCode } from '../contracts/error-codes.ts';
import { controlOf } from './actor.ts';
import { confirm } from './ask.ts';
import { withContext } from './context.ts';
import { withIuCore } from './iu-core.ts';
import type { ChangeOptions } from './options.ts';
import { actingAs } from './outbox-acting-as.ts';
import { note, printResult } from './print.ts';

/** The newest epoch of the outbox, and the cursors that count transactions of another cluster. */
interface Counting {
  readonly epoch: number | null;
  readonly foreignCursors: readonly string[];
}

interface Rebased {
  readonly status: 'rebased' | 'nothing_to_rebase' | 'not_run';
  readonly epoch: number | null;
  /** Cursors that count in this cluster since, or would. */
  readonly cursors: readonly string[];
  readonly cursorsRebased: number;
}

/**
 * `sluice outbox rebase`: after a restore into another cluster, opens the next epoch and lets every cursor count in
 * it. Where everything is of this cluster already, nothing changes, and the result says so.
 */
export function outboxRebase(_: readonly string[], options: ChangeOptions): Promise<ExitCode> {
  return withContext(options, async (context) => {
    const dryRun = options.dryRun === true;
    if (!dryRun)
      await confirm(`rebase the outbox of ${context.targetName()} onto the cluster it is in?`, options);
    const control = await controlOf(options, context.env);
    const result = await withIuCore(context, 'outbox rebase', async (given): Promise<Rebased> => {
      const { epoch, foreignCursors } = await given.transact('read only', () => readCounting(given.client));
      if (dryRun) return { status: 'not_run', epoch, cursors: foreignCursors, cursorsRebased: 0 };
      const after = await actingAs(given, control)(() => rebase(given.client, control.actor, control.reason));
      return {
        status: after.cursors_rebased > 0 || after.epoch !== epoch ? 'rebased' : 'nothing_to_rebase',
        epoch: after.epoch,
        cursors: foreignCursors,
        cursorsRebased: after.cursors_rebased,
      };
    });
    if (dryRun) note('dry run: nothing was changed');
    printResult(context.output, { ...result, ...control }, () => rebaseText(result));
    return EXIT.done;
  });
}

async function readCounting(client: pg.Client): Promise<Counting> {
  const found = await client.query<Counting>(
    `select
       (select max(iu_outbox_epoch.epoch) from iu_outbox_epoch) as epoch,
       coalesce(
         jsonb_agg(iu_route_worker_cursor.cursor_code order by iu_route_worker_cursor.cursor_code),
         '[]'
       ) as "foreignCursors"
     from iu_route_worker_cursor
     where iu_route_worker_cursor.system_identifier <> fn_iu_system_identifier()`,
  );
  return found.rows[0] ?? { epoch: null, foreignCursors: [] };
}

async function rebase(
  client: pg.Client,
  actor: string,
  reason: string,
): Promise<{ readonly epoch: number; readonly cursors_rebased: number }> {
  const rebased = await client.query<{ answer: { epoch: number; cursors_rebased: number } }>(
    'select fn_iu_outbox_rebase($1, $2) as answer',
    [actor, reason],
  );
  const answer = rebased.rows[0]?.answer;
  if (answer === undefined) throw new Error('fn_iu_outbox_rebase returned no row');
  return answer;
}

function rebaseText({ status, epoch, cursors, cursorsRebased }: Rebased): string {
  const which = cursors.length === 0 ? 'none' : cursors.join(', ');
  if (status === 'nothing_to_rebase')
    return `nothing had to be rebased: epoch ${epoch} and every cursor are of this cluster`;
  return status === 'not_run'
    ? `epoch ${epoch}; cursors that count in another cluster: ${which}`
    : `rebased: epoch ${epoch}, ${cursorsRebased} cursors: ${which}`;
}
