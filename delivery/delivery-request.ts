import { SluiceError } from '../contracts/error-codes.ts';
import {
  DELIVERY_TARGET_KINDS,
  type DeliveryTargetKind,
  isDeliveryTargetKind,
} from './delivery-target-kind.ts';

/** What a target is told about the event beside its payload. */
export interface DeliveredEvent {
  readonly domain: string;
  readonly type: string;
  readonly subject: string | null;
  /** Place among the events of its subject; a decimal number, null where no route asks for order. */
  readonly subjectSeq: string | null;
  /** When it was written, ISO 8601 in UTC with microseconds. */
  readonly createdAt: string;
}

/** One event for one target. It is frozen when the event is routed, and every try carries the same. */
export interface DeliveryRequest {
  readonly routeCode: string;
  /** Id of the event. */
  readonly eventRef: string;
  readonly targetKind: DeliveryTargetKind;
  /** The target, in the words of its kind. */
  readonly targetRef: string;
  /** Business key of event and route, `event:route`; the same for every try, replay and worker. */
  readonly idempotencyKey: string;
  /**
   * The event's payload as JSON text, as the database froze it. What leaves the machine is put together from this text:
   * parsing it would round numbers beyond 2^53.
   */
  readonly safePayload: string;
  readonly event: DeliveredEvent;
}

/**
 * Reads the request as the database froze it: `iu_route_delivery.request` without its `safe_payload`, and that as text.
 *
 * @throws SluiceError `delivery_invalid` for an unknown kind, an empty idempotency key, or a field that is missing
 */
export function readDeliveryRequest(frozen: unknown, safePayload: string): DeliveryRequest {
  const found = asObject(frozen);
  const event = asObject(found.event);
  return checkDeliveryRequest({
    routeCode: text(found.route_code),
    eventRef: text(found.event_ref),
    targetKind: text(found.target_kind) as DeliveryTargetKind,
    targetRef: text(found.target_ref),
    idempotencyKey: text(found.idempotency_key),
    safePayload,
    event: {
      domain: text(event.domain),
      type: text(event.type),
      subject: optionalText(event.subject),
      subjectSeq: optionalText(event.subject_seq),
      createdAt: text(event.created_at),
    },
  });
}

/**
 * A request that may be delivered, returned as it is.
 *
 * @throws SluiceError `delivery_invalid` for an unknown kind or an empty field
 */
export function checkDeliveryRequest(request: DeliveryRequest): DeliveryRequest {
  if (!isDeliveryTargetKind(request.targetKind)) {
    throw invalid(
      `Kind \`${request.targetKind}\` of a target is unknown`,
      `One of ${DELIVERY_TARGET_KINDS.join(', ')}.`,
    );
  }
  for (const field of ['idempotencyKey', 'routeCode', 'eventRef', 'targetRef'] as const) {
    if (!/\S/.test(request[field])) {
      throw invalid(`A delivery request has an empty ${field}`, 'A text with something in it.');
    }
  }
  return request;
}

function invalid(what: string, expected: string): SluiceError {
  return new SluiceError('delivery_invalid', { what: `${what}.`, expected, safe: 'Nothing was delivered.' });
}

function asObject(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function optionalText(value: unknown): string | null {
  return value === null || value === undefined ? null : String(value);
}
