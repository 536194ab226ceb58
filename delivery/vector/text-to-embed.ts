import type { DeliveryFailure } from '../delivery-outcome.ts';
import type { DeliveryRequest } from '../delivery-request.ts';
import { type RouteLimits, routeLimits } from '../route-limits.ts';
import { readTableName, type TableName } from './table-name.ts';
import { followTextPath, sayTextPath } from './text-path.ts';

/** What a request comes to, once it can be delivered at all. */
export interface TextToEmbed {
  readonly table: TableName;
  readonly text: string;
  readonly limits: RouteLimits;
}

/** The text of a request, its table and the limits of its route, or why no try can deliver it. */
export function textToEmbed(
  request: DeliveryRequest,
  config: Readonly<Record<string, unknown>>,
): TextToEmbed | DeliveryFailure {
  const limits = routeLimits('vector', config);
  if (typeof limits === 'string') return final('request_invalid', `${limits}.`);
  const table = readTableName(request.targetRef);
  if (table === null) return final('target_ref_malformed', 'A table is named `schema.table`.');
  const text = textOf(request, limits);
  if (text !== null) return { table, text, limits };
  return final('request_invalid', `The payload has no text at \`${sayTextPath(limits.textPath)}\`.`);
}

function textOf({ safePayload }: DeliveryRequest, { textPath }: RouteLimits): string | null {
  try {
    const text = followTextPath(JSON.parse(safePayload), textPath);
    return typeof text === 'string' && /\S/.test(text) ? text : null;
  } catch {
    return null;
  }
}

function final(code: string, message: string): DeliveryFailure {
  return { code, message, mayRetry: false, retryAfterMs: null };
}
