import { hash } from 'node:crypto';
import type { DeliveryFailure } from '../delivery-outcome.ts';
import type { ClaimedDelivery } from './delivery-queue.ts';
import type { TriedDelivery } from './try-delivery.ts';

/** Characters of JSON that an audit row keeps of a detail. */
const DETAIL_LIMIT = 4_000;
const MESSAGE_LIMIT = 1_000;
/** What `jsonb` refuses: NUL, and half of a surrogate pair. */
const REFUSED = /(?<!\\)((?:\\\\)*)\\u(?:0000|d[89a-f][0-9a-f]{2})/g;

/**
 * An outcome as `fn_iu_route_delivery_settle` takes it, one object as JSON that says nothing of what is not there. The bytes
 * go along where they are sent again and the queue does not have them yet.
 *
 * @param retryMs milliseconds until the next try; null where none follows
 */
export function outcomeJson(
  { eventId, body: frozenBody }: ClaimedDelivery,
  { outcome, body }: TriedDelivery,
  retryMs: number | null,
): string {
  const { status, delivered, detail, failure } = outcome;
  const sha256 = body === undefined ? '' : `,"body_sha256":"${hash('sha256', body)}"`;
  const isNew = retryMs !== null && frozenBody === null && body !== undefined;
  const bytes = isNew ? `,"body":"${body.toString('base64')}"` : '';
  const why = failure === undefined ? '' : failureJson(failure, retryMs);
  return `{"event_id":"${eventId}","status":"${status}","delivered":${delivered}${why},"detail":${detailJson(detail)}${sha256}${bytes}}`;
}

function failureJson({ code, message, disablesRoute }: DeliveryFailure, retryMs: number | null): string {
  const said = json(message.slice(0, MESSAGE_LIMIT));
  return `,"code":${json(code)},"message":${said},"retry_ms":${retryMs},"disables_route":${disablesRoute === true}`;
}

function detailJson(detail: unknown): string {
  try {
    const text = json(detail);
    return text.length <= DETAIL_LIMIT ? text : `{"left_out":"${text.length} characters of detail"}`;
  } catch {
    return '{"left_out":"a detail that is no JSON"}';
  }
}

function json(value: unknown): string {
  const text = JSON.stringify(value) ?? 'null';
  return text.includes('\\u') ? text.replace(REFUSED, '$1\ufffd') : text;
}
