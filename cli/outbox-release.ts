import type pg from 'pg';
import { EXIT, type ExitCode } from '../contracts/error-codes.ts';
import { repeatLostTransaction } from '../target/repeat-lost-transaction.ts';
import { controlOf } from './actor.ts';
import { confirm } from './ask.ts';
import { withContext } from './context.ts';
import { untilInterrupted } from './interrupt.ts';
import { withIuCore } from './iu-core.ts';
import type { ChangeOptions } from './options.ts';
import { actingAs } from './outbox-acting-as.ts';
import { note, printResult } from './print.ts';
import { textTable } from './text-table.ts';

type ReleaseOptions = ChangeOptions & { readonly limit?: number; readonly cursor: string };

/** Events that a closed gate keeps from a route. */
interface Blocked {
  readonly route: string;
  readonly events: number;
  /** The gate that keeps them; null where none does any more. */
  readonly why: string | null;
}

/** What `fn_iu_route_blocked_release` answers. */
interface Release {
  readonly status: string;
  readonly released: number;
  readonly still_blocked: number;
  readonly attempts_written: number;
  readonly dead_lettered: number;
}

interface Released {
  readonly status: string;
  readonly released: number;
  readonly stillBlocked: number;
  readonly attempts: number;
  readonly deadLettered: number;
  readonly pages: number;
  readonly blocked: readonly Blocked[];
}

/** Events that one transaction decides again. */
const PAGE = 500;

/**
 * `sluice outbox release`: decides again what a closed gate kept back, page by page, until nothing is blocked or
 * what is left still is. A gate that is closed is no error: the result says which.
 */
export function outboxRelease(_: readonly string[], options: ReleaseOptions): Promise<ExitCode> {
  return withContext(options, async (context) => {
    const dryRun = options.dryRun === true;
    if (!dryRun) await confirm(`release what is blocked on ${context.targetName()}?`, options);
    const control = await controlOf(options, context.env);
    const interrupted = untilInterrupted();
    try {
      const result = await withIuCore(context, 'outbox release', async (given) => {
        const look = () => given.transact('read only', () => readBlocked(given.client, options.cursor));
        const sum = { status: 'not_run', released: 0, attempts: 0, deadLettered: 0, pages: 0 };
        const total = eventsOf(await look());
        const transact = actingAs(given, control);
        while (!dryRun && !interrupted.signal.aborted) {
          const size = Math.min(PAGE, (options.limit ?? Number.POSITIVE_INFINITY) - sum.released);
          if (size < 1) break;
          const page = await repeatLostTransaction({ doing: 'outbox release' }, () =>
            transact(() => releasePage(given.client, options.cursor, size, control.actor, control.reason)),
          );
          sum.status = page.status;
          sum.released += page.released;
          sum.attempts += page.attempts_written;
          sum.deadLettered += page.dead_lettered;
          sum.pages += 1;
          if (page.released > 0) note(`released ${sum.released} of ${Math.max(total, sum.released)} events`);
          if (page.released < size) break;
        }
        const blocked = await look();
        const { status, released, ...counts } = sum;
        return { status, released, stillBlocked: eventsOf(blocked), ...counts, blocked };
      });
      if (dryRun) note('dry run: nothing was released');
      printResult(context.output, { ...result, ...control }, () => releaseText(result));
      return interrupted.signal.aborted ? EXIT.interrupted : EXIT.done;
    } finally {
      interrupted.release();
    }
  });
}

async function releasePage(
  client: pg.Client,
  cursor: string,
  size: number,
  actor: string,
  reason: string,
): Promise<Release> {
  const answered = await client.query<{ answer: Release }>(
    'select fn_iu_route_blocked_release($1, $2, $3, $4) as answer',
    [cursor, size, actor, reason],
  );
  const answer = answered.rows[0]?.answer;
  if (answer === undefined) throw new Error('fn_iu_route_blocked_release returned no row');
  return answer;
}

async function readBlocked(client: pg.Client, cursor: string): Promise<readonly Blocked[]> {
  const found = await client.query<Blocked>(
    `with
       kept_back as (
         select blocked.route_code, count(*)::integer as events
         from fn_iu_route_blocked($1) as blocked
         group by blocked.route_code
       )
     select
       kept_back.route_code as route,
       kept_back.events,
       case
         when not fn_iu_gate_open('iu_core.outbound_enabled') then 'gate iu_core.outbound_enabled is closed'
         when not fn_iu_gate_open('iu_core.route_worker_enabled') then 'gate iu_core.route_worker_enabled is closed'
         when iu_outbound_route.enabled is not true then 'the route is disabled'
         when iu_outbound_route.dry_run then null
         when not fn_iu_gate_open('iu_core.delivery_enabled') then 'gate iu_core.delivery_enabled is closed'
         when not exists (
           select
           from dot_config
           where dot_config.key = 'iu_core.delivery_live_routes'
             and kept_back.route_code = any (regexp_split_to_array(btrim(dot_config.value), '\\s*,\\s*'))
         ) then 'iu_core.delivery_live_routes does not name the route'
       end as why
     from kept_back
     left join iu_outbound_route on iu_outbound_route.route_code = kept_back.route_code
     order by kept_back.route_code`,
    [cursor],
  );
  return found.rows;
}

function eventsOf(blocked: readonly Blocked[]): number {
  return blocked.reduce((sum, { events }) => sum + events, 0);
}

function releaseText({ status, released, deadLettered, stillBlocked, blocked }: Released): string {
  const said = `${status}: ${released} released, ${deadLettered} of them dead-lettered, ${stillBlocked} still blocked`;
  if (blocked.length === 0) return said;
  const rows = blocked.map(({ route, events, why }) => [route, events, why ?? 'no gate']);
  return `${said}\n${textTable(['route', 'events', 'kept back by'], rows)}`;
}
