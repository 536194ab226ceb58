import { randomUUID } from 'node:crypto';
import type { TargetAccess } from '../activities/dependencies.ts';
import { EXIT, type ExitCode, SluiceError } from '../contracts/error-codes.ts';
import { type DeliveryOutcome, failed, sent } from '../delivery/delivery-outcome.ts';
import { deliveryRegistry, dispatchDelivery } from '../delivery/delivery-registry.ts';
import type { DeliveryRequest } from '../delivery/delivery-request.ts';
import { isDeliveryTargetKind } from '../delivery/delivery-target-kind.ts';
import { routeFault } from '../delivery/route-fault.ts';
import { inTransaction } from '../target/in-transaction.ts';
import { type Context, withContext } from './context.ts';
import { untilInterrupted } from './interrupt.ts';
import type { GlobalOptions } from './options.ts';
import { printResult } from './print.ts';
import { whyBlocked } from './route-read.ts';
import { isBuiltHere, withRouteTarget } from './route-registry.ts';
import { demandSeam, functionFault, keyOf } from './route-seam.ts';
import { objectOf } from './route-set.ts';
import { type GivenRoute, withRoute } from './with-route.ts';

type TestOptions = GlobalOptions & { readonly payload: string };

/** What was tried, and how it ended. */
interface Tested {
  readonly outcome: DeliveryOutcome;
  /** A function was called in a transaction that was rolled back. */
  readonly rolledBack: boolean;
}

/**
 * `sluice route test CODE`: one test event for the target, through the seam, with nothing written in the target's outbox or
 * audit. Ends with 3 where it was not sent.
 */
export function routeTest([code = '']: readonly string[], options: TestOptions): Promise<ExitCode> {
  return withContext(options, async (context) => {
    objectOf(options.payload, '--payload');
    const interrupted = untilInterrupted();
    try {
      const result = await withRoute(context, { doing: 'route test', code }, async (given) => {
        const { gates, route } = given;
        demandSound(given);
        const request = requestOf(given, options.payload);
        const startedAt = performance.now();
        const { outcome, rolledBack } =
          route.kind === 'sql_function'
            ? await callFunction(given, request)
            : await deliver(context, given, request, interrupted.signal);
        return {
          code,
          kind: route.kind,
          target: route.target,
          status: outcome.status,
          delivered: outcome.delivered,
          failure: outcome.failure ?? null,
          httpStatus: numberOrNull(outcome.detail.http_status),
          durationMs: Math.round(performance.now() - startedAt),
          detail: outcome.detail,
          idempotencyKey: request.idempotencyKey,
          rolledBack,
          state: route.state,
          why: !route.enabled
            ? 'the route is disabled'
            : route.dryRun
              ? 'the route is in dry run'
              : route.why,
          blockedBy: whyBlocked(code, gates),
        };
      });
      printResult(context.output, result, () => testText(result));
      return result.status === 'sent' ? EXIT.done : EXIT.precondition;
    } finally {
      interrupted.release();
    }
  });
}

function demandSound({ route }: GivenRoute): void {
  const fault = routeFault(route.kind, route.target, route.config);
  if (fault === null) return;
  throw new SluiceError('route_refused', {
    what: `Route ${route.code} cannot deliver: ${fault}.`,
    expected: `Correct it: sluice route set ${route.code}.`,
    safe: 'Nothing was sent.',
  });
}

function requestOf({ route }: GivenRoute, payload: string): DeliveryRequest {
  if (!isDeliveryTargetKind(route.kind)) throw new Error(`kind ${route.kind} is unknown`);
  const eventRef = randomUUID();
  return {
    routeCode: route.code,
    eventRef,
    targetKind: route.kind,
    targetRef: route.target,
    idempotencyKey: `test:${eventRef}:${route.code}`,
    safePayload: payload,
    event: {
      domain: 'sluice',
      type: 'test',
      subject: null,
      subjectSeq: null,
      createdAt: new Date().toISOString().replace('Z', '000Z'),
    },
  };
}

async function deliver(
  context: Context,
  { access, gates, route }: GivenRoute,
  request: DeliveryRequest,
  signal: AbortSignal,
): Promise<Tested> {
  if (!isBuiltHere(route.kind, access, gates)) throw notBuilt(route.kind, access);
  return withRouteTarget(context, { access, route }, async (target) => {
    const fault = target.fault(route.target, route.config);
    const refused = fault === null ? null : failed(target.kind, refusalOf(fault));
    if (refused !== null) return { outcome: refused, rolledBack: false };
    await target.inspect?.(route.target, route.config, signal).catch((error: unknown) => {
      throw asRefusal(error);
    });
    const body = target.body?.(request);
    const attempt = { signal, config: route.config, ...(body === undefined ? {} : { body }) };
    const outcome = await dispatchDelivery(deliveryRegistry([target]), request, attempt);
    return { outcome, rolledBack: false };
  });
}

/** Calls the function as the worker does, and rolls back. What it did outside of the transaction stays. */
async function callFunction(given: GivenRoute, request: DeliveryRequest): Promise<Tested> {
  const { access, client, gates, route } = given;
  demandSeam(gates, access);
  const fault = await given.transact('read only', () => functionFault(client, route.target));
  if (fault !== null) {
    throw new SluiceError('route_refused', {
      what: `Route ${route.code} cannot deliver: ${fault}.`,
      expected: `sluice route allow ${route.code} puts the function on the list; the rest is up to the function.`,
      safe: 'Nothing was called.',
    });
  }
  const limits = {
    schema: access.schema,
    lockTimeoutMs: access.lockTimeoutMs,
    statementTimeoutMs: access.statementTimeoutMs.probe,
  };
  const outcome = await inTransaction(
    client,
    'read write',
    limits,
    async (): Promise<DeliveryOutcome> => {
      const answered = await client.query<{ answer: { status?: string; detail?: Record<string, unknown> } }>(
        `select fn_iu_route_deliver($1, $2, $3::jsonb || jsonb_build_object('safe_payload', $4::jsonb)) as answer`,
        [route.code, request.eventRef, JSON.stringify(frozenOf(request)), request.safePayload],
      );
      const { status, detail = {} } = answered.rows[0]?.answer ?? {};
      return status === 'sent'
        ? sent('sql_function', detail)
        : { status: 'skipped', delivered: false, targetKind: 'sql_function', detail };
    },
    'rollback',
  ).catch((error: unknown): DeliveryOutcome => {
    const sqlstate = sqlstateOf(error);
    if (sqlstate === null) throw error;
    const message = error instanceof Error ? error.message : String(error);
    const code = sqlstate === '57014' ? 'timeout' : 'target_raised';
    return failed('sql_function', { code, message, mayRetry: false, retryAfterMs: null }, { sqlstate });
  });
  return { outcome, rolledBack: true };
}

/** The request in the words of the database, without its payload. */
function frozenOf({ event, ...request }: DeliveryRequest) {
  return {
    route_code: request.routeCode,
    event_ref: request.eventRef,
    target_kind: request.targetKind,
    target_ref: request.targetRef,
    idempotency_key: request.idempotencyKey,
    event: {
      domain: event.domain,
      type: event.type,
      subject: event.subject,
      subject_seq: event.subjectSeq,
      created_at: event.createdAt,
    },
  };
}

/** Five characters from the server; null for errors of the connection and of this program. */
function sqlstateOf(error: unknown): string | null {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  return /^[0-9A-Z]{5}$/.test(code) && !/^(?:08|57P)/.test(code) ? code : null;
}

/** A secret that cannot be had is a reason not to send, like any other. */
function asRefusal(error: unknown): unknown {
  if (!(error instanceof SluiceError) || error.code !== 'configuration_invalid') return error;
  return new SluiceError('route_refused', error.text, { cause: error });
}

function refusalOf(fault: string) {
  return { code: 'target_ref_malformed', message: fault, mayRetry: false, retryAfterMs: null };
}

function notBuilt(kind: string, access: TargetAccess): SluiceError {
  return new SluiceError('delivery_not_built', {
    what: `Delivery to a target of kind ${kind} is not built here: sluice.yaml has no ${keyOf(kind, access)}.`,
    expected: `Configure ${keyOf(kind, access)}, here and for the worker.`,
    safe: 'Nothing was sent.',
  });
}

function numberOrNull(value: unknown): number | null {
  return typeof value === 'number' ? value : null;
}

function testText(tested: {
  readonly code: string;
  readonly kind: string;
  readonly target: string;
  readonly status: string;
  readonly delivered: boolean;
  readonly failure: DeliveryOutcome['failure'] | null;
  readonly httpStatus: number | null;
  readonly durationMs: number;
  readonly rolledBack: boolean;
  readonly why: string | null;
  readonly blockedBy: string | null;
}): string {
  const { failure, httpStatus } = tested;
  const ended = failure === null || failure === undefined ? '' : ` ${failure.code}: ${failure.message}`;
  return [
    `${tested.status}${ended}`,
    `  ${tested.code} to ${tested.kind} ${tested.target}`,
    `  ${tested.delivered ? 'delivered' : 'not delivered'}${httpStatus === null ? '' : `, HTTP ${httpStatus}`}, ${tested.durationMs} ms`,
    ...(tested.rolledBack ? ['  the function ran in a transaction that was rolled back'] : []),
    ...(tested.why === null ? ['  the route is live'] : [`  not live: ${tested.why}`]),
    ...(tested.blockedBy === null || tested.blockedBy === tested.why
      ? []
      : [`  would be blocked: ${tested.blockedBy}`]),
  ].join('\n');
}
