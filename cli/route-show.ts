import type pg from 'pg';
import { EXIT, type ExitCode } from '../contracts/error-codes.ts';
import { routeFault } from '../delivery/route-fault.ts';
import { withContext } from './context.ts';
import type { GlobalOptions } from './options.ts';
import { printResult } from './print.ts';
import { eventsText, stateText } from './route-list.ts';
import type { Route } from './route-read.ts';
import { configuredFault, isBuiltHere } from './route-registry.ts';
import { functionFault, keyOf } from './route-seam.ts';
import { textTable } from './text-table.ts';
import { withRoute } from './with-route.ts';

interface Attempt {
  readonly at: string;
  readonly eventId: string;
  readonly attemptNo: number;
  readonly worker: string;
  readonly status: string;
  readonly delivered: boolean;
  readonly failure: string | null;
  readonly detail: Readonly<Record<string, unknown>>;
}

interface ShownRoute extends Route {
  /** Whether its kind can be delivered to by a worker of this configuration. */
  readonly built: boolean;
  /** Key of `sluice.yaml` that builds the kind; null for a function of the database. */
  readonly builtBy: string | null;
  /** What is wrong with its target or its config; null where nothing is. */
  readonly fault: string | null;
  readonly breakerDetail: Readonly<Record<string, unknown>> | null;
  /** The newest, newest first. */
  readonly attempts: readonly Attempt[];
}

/** Attempts that are shown, and events of all routes that they are looked for among. */
const SHOWN = 10;
const LOOKED_AT = 5_000;

/** `sluice route show CODE` */
export function routeShow([code = '']: readonly string[], options: GlobalOptions): Promise<ExitCode> {
  return withContext(options, async (context) => {
    const shown = await withRoute(context, { doing: 'route show', code }, async (given) => {
      const { access, client, gates, route, transact } = given;
      const { attempts, breakerDetail, ofDatabase } = await transact('read only', async () => ({
        attempts: await readAttempts(client, code),
        breakerDetail: gates.seamIsBuilt ? await readBreaker(client, code) : null,
        ofDatabase:
          gates.seamIsBuilt && route.kind === 'sql_function'
            ? await functionFault(client, route.target)
            : null,
      }));
      const fault =
        routeFault(route.kind, route.target, route.config) ??
        ofDatabase ??
        (await configuredFault(route, access, context.env));
      const built = isBuiltHere(route.kind, access, gates);
      const builtBy = route.kind === 'sql_function' ? null : keyOf(route.kind, access);
      return { ...route, built, builtBy, fault, breakerDetail, attempts } satisfies ShownRoute;
    });
    printResult(context.output, shown, () => routeText(shown));
    return EXIT.done;
  });
}

/** By the time-ordered ids of events, since attempts have no index by route. */
async function readAttempts(client: pg.Client, code: string): Promise<readonly Attempt[]> {
  const { rows } = await client.query<Omit<Attempt, 'at'> & { at: Date }>(
    `select
       newest.created_at as at,
       newest.event_id as "eventId",
       newest.attempt_no as "attemptNo",
       newest.worker_code as worker,
       newest.status,
       newest.delivered,
       newest.failure_code as failure,
       newest.detail
     from (
       select *
       from iu_route_attempt
       order by iu_route_attempt.idempotency_key desc, iu_route_attempt.attempt_no desc
       limit $2
     ) as newest
     where newest.route_code = $1
     order by newest.created_at desc
     limit $3`,
    [code, LOOKED_AT, SHOWN],
  );
  return rows.map((row) => ({ ...row, at: row.at.toISOString() }));
}

async function readBreaker(
  client: pg.Client,
  code: string,
): Promise<Readonly<Record<string, unknown>> | null> {
  const { rows } = await client.query<{ breaker: Readonly<Record<string, unknown>> }>(
    `select to_jsonb(iu_route_breaker) - 'route_code' as breaker
     from iu_route_breaker
     where iu_route_breaker.route_code = $1`,
    [code],
  );
  return rows[0]?.breaker ?? null;
}

function routeText(route: ShownRoute): string {
  const { attempts, breakerDetail } = route;
  const built = route.built
    ? 'yes'
    : route.builtBy === null
      ? 'no: the macro delivery-seam builds it'
      : `no: ${route.builtBy} in sluice.yaml builds it`;
  const lines: readonly (readonly [string, string])[] = [
    ['route', route.description === '' ? route.code : `${route.code}: ${route.description}`],
    ['events', eventsText(route.events)],
    ['target', `${route.kind} ${route.target}`],
    ['state', stateText(route)],
    ['enabled', route.disabledBy === null ? yesNo(route.enabled) : `no, by ${route.disabledBy}`],
    ['allowed', yesNo(route.allowed)],
    ['built here', built],
    ['fault', route.fault ?? 'none'],
    ['ordered', route.ordered ? `by subject, ${route.afterDeadLetter} after a dead letter` : 'no'],
    ['queued', `${route.queued} deliveries`],
    ['dead letters', `${route.deadLettersOpen} open`],
    ['breaker', breakerDetail === null ? '-' : `${route.breaker} ${JSON.stringify(breakerDetail)}`],
    ['config', JSON.stringify(route.config)],
    ['changed', route.updatedAt],
  ];
  const table = textTable(
    ['at', 'event', 'attempt', 'status', 'failure', 'detail'],
    attempts.map(({ at, eventId, attemptNo, status, failure, detail }) => [
      at,
      eventId,
      attemptNo,
      status,
      failure ?? '-',
      JSON.stringify(detail),
    ]),
  );
  return [
    ...lines.map(([name, value]) => `${name.padEnd(13)} ${value}`),
    attempts.length === 0 ? 'no attempts among the newest' : table,
  ].join('\n');
}

function yesNo(is: boolean): string {
  return is ? 'yes' : 'no';
}
