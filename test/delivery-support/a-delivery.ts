import { randomUUID } from 'node:crypto';
import type { DeliveryRequest } from '../../delivery/delivery-request.ts';
import type { DeliveryTry } from '../../delivery/delivery-target.ts';

/** A request of a test; its idempotency key is `event:route`, as the database makes it. */
export function aRequest(
  more: Partial<Omit<DeliveryRequest, 'event'>> & {
    readonly event?: Partial<DeliveryRequest['event']>;
    /** Instead of `safePayload`. */
    readonly payload?: unknown;
  } = {},
): DeliveryRequest {
  const { payload = { text: 'a piece was deprecated' }, ...given } = more;
  const eventRef = more.eventRef ?? randomUUID();
  const routeCode = more.routeCode ?? 'a_route';
  return {
    targetKind: 'report',
    targetRef: 'weekly',
    safePayload: JSON.stringify(payload),
    idempotencyKey: `${eventRef}:${routeCode}`,
    ...given,
    routeCode,
    eventRef,
    event: {
      domain: 'iu',
      type: 'structure_piece_deprecated',
      subject: 'pilot.iu0.test-001',
      subjectSeq: null,
      createdAt: '2026-05-21T10:00:00.000001Z',
      ...more.event,
    },
  };
}

/** A try that nobody ends. */
export function aTry(config: DeliveryTry['config'] = {}, signal = new AbortController().signal): DeliveryTry {
  return { signal, config };
}
