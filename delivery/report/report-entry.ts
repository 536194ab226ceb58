import type { DeliveryRequest } from '../delivery-request.ts';
import { type FrozenDeliveryRequest, frozenDeliveryJson } from '../frozen-delivery-request.ts';

/** A line of `<name>.jsonl` on its way there. */
export interface ReportLine {
  readonly key: string;
  /** With its line break; there is no other in it. */
  readonly bytes: Buffer;
}

/** What a line of `<name>.jsonl` says. */
export interface ReportEntry extends FrozenDeliveryRequest {
  /** When the line was made, ISO 8601 in UTC. */
  readonly written_at: string;
  readonly safe_payload: unknown;
}

const LINE_BREAK = Buffer.from('\n');
/** Comes first where the payload begins: in a text before it the quotation marks would be escaped. */
const PAYLOAD = ',"safe_payload":';

/** The line of an event; null where its payload is no JSON. */
export function reportLine(request: DeliveryRequest, now: Date): ReportLine | null {
  const bytes = frozenDeliveryJson(request, { written_at: now.toISOString() });
  if (readEntry(bytes.toString('utf8')) === null) return null;
  return { key: request.idempotencyKey, bytes: Buffer.concat([bytes, LINE_BREAK]) };
}

/** Reads a line, without its line break; null where it is none of ours. */
export function readEntry(line: string): ReportEntry | null {
  try {
    const found: unknown = JSON.parse(line);
    return isEntry(found) ? found : null;
  } catch {
    return null;
  }
}

/** The payload of a line as JSON text, every number as it was frozen. */
export function payloadJsonOf(line: string, { safe_payload }: ReportEntry): string {
  const json = line.slice(line.indexOf(PAYLOAD) + PAYLOAD.length, -1);
  try {
    JSON.parse(json);
    return json;
  } catch {
    // Somebody wrote the line anew, with its members in another order.
    return JSON.stringify(safe_payload);
  }
}

function isEntry(found: unknown): found is ReportEntry {
  const { idempotency_key, written_at, route_code, event_ref, event, safe_payload } = Object(found);
  const { domain, type, created_at } = Object(event);
  const texts = [idempotency_key, written_at, route_code, event_ref, domain, type, created_at];
  return safe_payload !== undefined && texts.every((value) => typeof value === 'string');
}
