import type { DeliveryRequest } from './delivery-request.ts';
import { jsonAround } from './json-around.ts';

/** Digits of the largest bigint; a `sequence` of CloudEvents has to sort as text. */
const SEQUENCE_DIGITS = 19;

/** What CloudEvents keeps out of the text of an attribute: control characters, halves of a pair, noncharacters. */
const FORBIDDEN = /[\p{Cc}\p{Cs}\p{Noncharacter_Code_Point}]/u;

/**
 * The event as CloudEvents 1.0 structured JSON (`application/cloudevents+json`): the same bytes for the same
 * request and source. `id` is the event, so that it is one and the same by whatever route it comes; `type` is
 * `<domain>.<type>`. Extension attributes: `sluiceroute`, `idempotencykey`, and for an ordered event `partitionkey`
 * (its subject) and `sequence` (its place there, with leading zeros).
 */
export function cloudEvent(request: DeliveryRequest, source: string): Buffer {
  const { subject, subjectSeq, createdAt } = request.event;
  const hasSubject = subject !== null && subject !== '';
  const isOrdered = hasSubject && subjectSeq !== null;
  const envelope = {
    specversion: '1.0',
    id: request.eventRef,
    source,
    type: cloudEventType(request),
    // What is undefined is left out of JSON.
    subject: hasSubject ? subject : undefined,
    time: createdAt,
    datacontenttype: 'application/json',
    sluiceroute: request.routeCode,
    idempotencykey: request.idempotencyKey,
    partitionkey: isOrdered ? subject : undefined,
    sequence: isOrdered ? subjectSeq.padStart(SEQUENCE_DIGITS, '0') : undefined,
  };
  return jsonAround(envelope, 'data', request.safePayload);
}

/** Why a request cannot be a CloudEvent, in one sentence without a full stop; null where it can. */
export function cloudEventFault(request: DeliveryRequest): string | null {
  const { domain, type, subject, createdAt } = request.event;
  if (domain === '' || type === '') return 'The event has no domain or no type';
  if (Number.isNaN(Date.parse(createdAt))) return 'The event does not say when it was written';
  const attributes: readonly (readonly [name: string, text: string])[] = [
    ['id of the event', request.eventRef],
    ['type of the event', cloudEventType(request)],
    ['subject of the event', subject ?? ''],
    ['code of the route', request.routeCode],
    ['idempotency key', request.idempotencyKey],
  ];
  for (const [name, text] of attributes) {
    if (FORBIDDEN.test(text)) return `The ${name} holds a character that CloudEvents does not allow`;
  }
  return null;
}

function cloudEventType({ event }: DeliveryRequest): string {
  return `${event.domain}.${event.type}`;
}
