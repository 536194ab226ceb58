import type pg from 'pg';
import { SluiceError } from '../contracts/error-codes.ts';

/** What a route does with an event now. `blocked`: it would deliver, and a gate or a list keeps it back. */
export type RouteState = 'disabled' | 'dry_run' | 'live' | 'blocked';

/** A route as it is now. */
export interface Route {
  readonly code: string;
  readonly events: { readonly domain: string; readonly type: string; readonly filter: string | null };
  readonly kind: string;
  readonly target: string;
  readonly enabled: boolean;
  readonly dryRun: boolean;
  readonly state: RouteState;
  /** Why it is blocked; null where it is not. */
  readonly why: string | null;
  /** Whether `iu_core.delivery_live_routes` names it. */
  readonly allowed: boolean;
  readonly ordered: boolean;
  readonly afterDeadLetter: 'block' | 'skip';
  /** Deliveries in the queue. */
  readonly queued: number;
  readonly deadLettersOpen: number;
  /** State of its breaker; null before its first delivery, and where the seam is not built. */
  readonly breaker: string | null;
  readonly config: Readonly<Record<string, unknown>>;
  readonly description: string;
  /** The level of the disable runbook that switched it off. */
  readonly disabledBy: string | null;
  readonly updatedAt: string;
}

/** Gates and lists of the target, as `dot_config` has them. */
export interface DeliveryGates {
  readonly master: boolean;
  readonly worker: boolean;
  readonly delivery: boolean;
  readonly liveRoutes: readonly string[];
  readonly functions: readonly string[];
  /** Whether migration 010 and its functions are there. */
  readonly seamIsBuilt: boolean;
}

interface RouteRow {
  readonly route_code: string;
  readonly event_domain: string;
  readonly event_type: string;
  readonly event_filter: string | null;
  readonly target_kind: string;
  readonly target_ref: string;
  readonly enabled: boolean;
  readonly dry_run: boolean;
  readonly ordered_by_subject: boolean;
  readonly after_dead_letter: 'block' | 'skip';
  readonly config: Readonly<Record<string, unknown>>;
  readonly description: string;
  readonly disabled_by: string | null;
  readonly updated_at: Date;
  readonly queued: number;
  readonly dead_letters: number;
  readonly breaker: string | null;
}

/** Reads the gates. The transaction is open in the schema of IU Core. */
export async function readGates(client: pg.Client): Promise<DeliveryGates> {
  const { rows } = await client.query<{ key: string; value: string | null }>(
    `select dot_config.key, dot_config.value
     from dot_config
     where dot_config.key in (
       'iu_core.outbound_enabled', 'iu_core.route_worker_enabled', 'iu_core.delivery_enabled',
       'iu_core.delivery_live_routes', 'iu_core.delivery_functions')`,
  );
  const seam = await client.query<{ built: boolean }>(
    `select to_regclass('iu_route_breaker') is not null as built`,
  );
  const values = new Map(rows.map(({ key, value }) => [key, value]));
  const isOpen = (key: string) => values.get(key) === 'true';
  return {
    master: isOpen('iu_core.outbound_enabled'),
    worker: isOpen('iu_core.route_worker_enabled'),
    delivery: isOpen('iu_core.delivery_enabled'),
    liveRoutes: namesOf(values.get('iu_core.delivery_live_routes')),
    functions: namesOf(values.get('iu_core.delivery_functions')),
    seamIsBuilt: seam.rows[0]?.built === true,
  };
}

/** The names in a comma-separated list of `dot_config`. */
export function namesOf(list: string | null | undefined): readonly string[] {
  return (list ?? '')
    .trim()
    .split(/\s*,\s*/)
    .filter((name) => name !== '');
}

/** Reads all routes by code, or the one that is named. The transaction is open in the schema of IU Core. */
export async function readRoutes(
  client: pg.Client,
  gates: DeliveryGates,
  code?: string,
): Promise<readonly Route[]> {
  const breaker = gates.seamIsBuilt
    ? '(select iu_route_breaker.state from iu_route_breaker where iu_route_breaker.route_code = route.route_code)'
    : 'null::text';
  const found = await client.query<RouteRow>(
    `select
       route.*,
       route.event_filter::text as event_filter,
       coalesce(queue.events, 0)::integer as queued,
       coalesce(letters.events, 0)::integer as dead_letters,
       ${breaker} as breaker
     from iu_outbound_route as route
     left join (
       select iu_route_delivery.route_code, count(*) as events
       from iu_route_delivery
       where $1::text is null
         or iu_route_delivery.route_code = $1
       group by iu_route_delivery.route_code
     ) as queue on queue.route_code = route.route_code
     left join (
       select iu_route_dead_letter.route_code, count(*) as events
       from iu_route_dead_letter
       where iu_route_dead_letter.state = 'open'
       group by iu_route_dead_letter.route_code
     ) as letters on letters.route_code = route.route_code
     where $1::text is null
       or route.route_code = $1
     order by route.route_code`,
    [code ?? null],
  );
  return found.rows.map((row) => routeOf(row, gates));
}

/** The route of that code. @throws SluiceError `route_not_found`, naming the nearest ones */
export async function readRoute(client: pg.Client, gates: DeliveryGates, code: string): Promise<Route> {
  const [route] = await readRoutes(client, gates, code);
  if (route !== undefined) return route;
  throw await routeNotFound(client, code);
}

/** The error for a code that no route has. */
export async function routeNotFound(client: pg.Client, code: string): Promise<SluiceError> {
  const { rows } = await client.query<{ route_code: string }>(
    'select iu_outbound_route.route_code from iu_outbound_route order by iu_outbound_route.route_code limit 20',
  );
  const known = rows.map(({ route_code }) => route_code).join(', ');
  return new SluiceError('route_not_found', {
    what: `There is no route \`${code}\`.`,
    expected: `${known === '' ? 'There are none.' : `Routes: ${known}.`} \`sluice route set\` creates one.`,
    safe: 'Nothing was changed.',
  });
}

function routeOf(row: RouteRow, gates: DeliveryGates): Route {
  const allowed = gates.liveRoutes.includes(row.route_code);
  const why = whyBlocked(row.route_code, gates);
  const state = !row.enabled ? 'disabled' : row.dry_run ? 'dry_run' : why === null ? 'live' : 'blocked';
  return {
    code: row.route_code,
    events: { domain: row.event_domain, type: row.event_type, filter: row.event_filter },
    kind: row.target_kind,
    target: row.target_ref,
    enabled: row.enabled,
    dryRun: row.dry_run,
    state,
    why: state === 'blocked' ? why : null,
    allowed,
    ordered: row.ordered_by_subject,
    afterDeadLetter: row.after_dead_letter,
    queued: row.queued,
    deadLettersOpen: row.dead_letters,
    breaker: row.breaker,
    config: row.config,
    description: row.description,
    disabledBy: row.disabled_by,
    updatedAt: row.updated_at.toISOString(),
  };
}

/** What keeps a route from delivering beside its own switches; null where nothing does. */
export function whyBlocked(code: string, gates: DeliveryGates): string | null {
  const closed = [
    ...(gates.master ? [] : ['gate iu_core.outbound_enabled is closed']),
    ...(gates.worker ? [] : ['gate iu_core.route_worker_enabled is closed']),
    ...(gates.delivery ? [] : ['gate iu_core.delivery_enabled is closed']),
    ...(gates.liveRoutes.includes(code) ? [] : ['iu_core.delivery_live_routes does not name the route']),
    ...(gates.seamIsBuilt ? [] : ['the delivery seam is not built in this database']),
  ];
  return closed.length === 0 ? null : closed.join('; ');
}
