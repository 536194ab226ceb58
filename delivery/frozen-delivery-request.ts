import type { DeliveryRequest } from './delivery-request.ts';
import { jsonAround } from './json-around.ts';

/** A request in the words of the database (`iu_route_delivery.request`), without its payload. */
export interface FrozenDeliveryRequest {
  readonly idempotency_key: string;
  readonly route_code: string;
  readonly event_ref: string;
  readonly target_kind: string;
  readonly target_ref: string;
  readonly event: {
    readonly domain: string;
    readonly type: string;
    readonly subject: string | null;
    readonly subject_seq: string | null;
    readonly created_at: string;
  };
}

/** The other way round of `readDeliveryRequest`: the same request gives the same object, its keys in this order. */
export function frozenDeliveryRequest(request: DeliveryRequest): FrozenDeliveryRequest {
  const { event } = request;
  return {
    idempotency_key: request.idempotencyKey,
    route_code: request.routeCode,
    event_ref: request.eventRef,
    target_kind: request.targetKind,
    target_ref: request.targetRef,
    event: {
      domain: event.domain,
      type: event.type,
      subject: event.subject,
      subject_seq: event.subjectSeq,
      created_at: event.createdAt,
    },
  };
}

/** The whole request as one line of JSON, `safe_payload` last and every number of it as it was frozen. */
export function frozenDeliveryJson(
  request: DeliveryRequest,
  more: Readonly<Record<string, string>> = {},
): Buffer {
  const { idempotency_key, ...rest } = frozenDeliveryRequest(request);
  // Outside of texts a line break is white space, and inside of them JSON has none.
  const payload = request.safePayload.replace(/[\r\n]/g, ' ');
  return jsonAround({ idempotency_key, ...more, ...rest }, 'safe_payload', payload);
}
