import type { LastingSession } from './lasting-session.ts';

/** What the gates say: `open`, or why nothing may be delivered. */
export type GateStatus =
  | 'open'
  | 'gate_closing'
  | 'master_gate_closed'
  | 'worker_gate_closed'
  | 'delivery_gate_closed';

/** What becomes of the deliveries of a route that are queued. */
export type RouteState =
  | 'ready'
  | 'later'
  | 'half_open'
  | 'breaker_open'
  | 'not_live'
  | 'unbuilt'
  | 'removed';

/** A route with queued deliveries. */
export interface RouteWork {
  readonly routeCode: string;
  readonly config: Readonly<Record<string, unknown>>;
  readonly state: RouteState;
  /** Milliseconds until something may be claimed; null where that is not known. */
  readonly dueInMs: number | null;
}

export interface DeliveryWork {
  readonly status: GateStatus;
  readonly routes: readonly RouteWork[];
}

/** A delivery that is held under a lease. */
export interface ClaimedDelivery {
  readonly eventId: string;
  /** Tries of this series before this one. */
  readonly tries: number;
  /**
   * The request as the database froze it, without the payload of the event, as JSON text: what waits to be begun is one
   * text, not an object of many.
   */
  readonly request: string;
  /** That payload, as JSON text. */
  readonly payload: string;
  /** Bytes that an earlier try has frozen. */
  readonly body: Buffer | null;
}

export interface ClaimOrder {
  readonly routeCode: string;
  readonly limit: number;
  readonly leaseMs: number;
  /** A uuid, given to no other claim. */
  readonly leaseToken: string;
}

export interface SettleAnswer {
  readonly settled: number;
  readonly sent: number;
  readonly skipped: number;
  readonly retried: number;
  readonly dead_lettered: number;
  /** Outcomes whose delivery this lease does not hold any more; nothing is written about them. */
  readonly refused: number;
  readonly route_disabled: boolean;
  readonly breaker: 'closed' | 'open' | 'half_open';
}

/** The queue `iu_route_delivery` through its functions, each call a transaction of its own. */
export interface DeliveryQueue {
  work(kinds: readonly string[]): Promise<DeliveryWork>;
  /** Lets this session begin deliveries; a gate that is closed from now on waits for {@link leave}. False: one is closing. */
  enter(): Promise<boolean>;
  leave(): Promise<void>;
  /** The longest due first. */
  claim(order: ClaimOrder): Promise<ClaimedDelivery[]>;
  /** The tokens that are still held, which last for `leaseMs` from now. */
  renew(tokens: readonly string[], leaseMs: number): Promise<readonly string[]>;
  /** Records outcomes, each a JSON text. Repeating it changes nothing: what was settled is refused. */
  settle(routeCode: string, leaseToken: string, outcomes: readonly string[]): Promise<SettleAnswer>;
  /** Ends leases: what they still hold is due as before, untried. */
  endLeases(tokens: readonly string[]): Promise<void>;
}

/**
 * @param claiming session of everything but settling: it holds the lock that a closing gate waits for
 * @param settling another session, so that no outcome waits for a claim
 * @param worker who claims, for on-call
 */
export function deliveryQueue(
  claiming: LastingSession,
  settling: LastingSession,
  worker: string,
): DeliveryQueue {
  return {
    async work(kinds) {
      const { status, routes } = await call<{ status: GateStatus; routes: readonly FoundRoute[] | null }>(
        claiming,
        'fn_iu_route_delivery_work($1)',
        [kinds],
      );
      return { status, routes: (routes ?? []).map(routeOf) };
    },
    enter: () => call<boolean>(claiming, 'fn_iu_delivery_session_enter()', []),
    async leave() {
      await call(claiming, 'fn_iu_delivery_session_leave()', []);
    },
    async claim({ routeCode, limit, leaseMs, leaseToken }) {
      const rows = await claiming.ask<ClaimedRow>({
        name: 'sluice_claim',
        text: `select claimed.event_id, claimed.tries, claimed.request::text, claimed.payload, claimed.body
               from fn_iu_route_delivery_claim($1, $2, $3, $4, $5) as claimed`,
        values: [routeCode, limit, Math.trunc(leaseMs), leaseToken, worker],
        rowMode: 'array',
      });
      return rows.map(([eventId, tries, request, payload, body]) => ({
        eventId,
        tries,
        request,
        payload,
        body,
      }));
    },
    async renew(tokens, leaseMs) {
      const values = [tokens, Math.trunc(leaseMs)];
      return call<readonly string[]>(claiming, 'fn_iu_route_delivery_renew($1, $2)', values);
    },
    settle: (routeCode, leaseToken, outcomes) =>
      call<SettleAnswer>(settling, 'fn_iu_route_delivery_settle($1, $2, $3)', [
        routeCode,
        leaseToken,
        `[${outcomes.join(',')}]`,
      ]),
    async endLeases(tokens) {
      await call(claiming, 'fn_iu_route_delivery_return($1)', [tokens]);
    },
  };
}

type ClaimedRow = readonly [
  eventId: string,
  tries: number,
  request: string,
  payload: string,
  body: Buffer | null,
];

interface FoundRoute {
  readonly route_code: string;
  readonly config: Readonly<Record<string, unknown>> | null;
  readonly state: RouteState;
  readonly due_in_ms: number | null;
}

function routeOf({ route_code, config, state, due_in_ms }: FoundRoute): RouteWork {
  return { routeCode: route_code, config: config ?? {}, state, dueInMs: due_in_ms };
}

/** One call of a function that answers one row with one value; prepared once a session. */
async function call<T>(session: LastingSession, text: string, values: readonly unknown[]): Promise<T> {
  const name = `sluice_${/^\w+/.exec(text)?.[0]}`.slice(0, 63);
  const statement = { name, text: `select ${text} as answer`, values: [...values] };
  const [row] = await session.ask<{ answer: T }>(statement);
  if (row === undefined) throw new Error(`${text} returned no row`);
  return row.answer;
}
