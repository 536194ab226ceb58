import type { IncomingHttpHeaders } from 'node:http';
import { FLOW_ID } from './deliveries.ts';
import { type Received, type Reply, receiver } from './receiver.ts';

/** A run of the flow, as its `$trigger` and `$accountability` show it. */
export interface FlowRun {
  readonly body: unknown;
  readonly headers: IncomingHttpHeaders;
  readonly user: string | null;
}

/** A flow with a webhook trigger of method POST. */
export interface FlowOptions {
  readonly under?: string;
  readonly async?: boolean;
  /** What the last operation returns. */
  readonly return?: () => unknown;
  readonly underPressure?: boolean;
}

/** Holds one flow, {@link FLOW_ID}, and one user with the static token `let-me-in`. */
export interface DirectusLike {
  readonly url: string;
  readonly runs: readonly FlowRun[];
  readonly requests: readonly Received[];
}

/**
 * A server that answers `POST /flows/trigger/:id` as the API of Directus 11 does: JSON bodies only as
 * `application/json`; 401 for an unknown token, 403 for an unknown flow or method; 204 where there is no result, which
 * for an asynchronous flow is always; its result as JSON otherwise, an operation's error with 200 as well.
 */
export async function directusLike(options: FlowOptions): Promise<DirectusLike> {
  const runs: FlowRun[] = [];
  const trigger = `POST ${options.under ?? ''}/flows/trigger/${FLOW_ID}`;
  const reply = ({ method, path, headers, body }: Received): Reply => {
    if (options.underPressure)
      return { ...fault(503, 'SERVICE_UNAVAILABLE'), headers: { 'retry-after': '10' } };
    const bearer = /^Bearer (.+)$/.exec(headers.authorization ?? '')?.[1];
    if (bearer !== undefined && bearer !== 'let-me-in') return fault(401, 'INVALID_CREDENTIALS');
    if (`${method} ${path}` !== trigger) return fault(403, 'FORBIDDEN');
    const isJson = headers['content-type']?.split(';')[0] === 'application/json';
    const user = bearer === undefined ? null : 'service';
    runs.push({ body: isJson ? JSON.parse(body.toString('utf8')) : {}, headers, user });
    const result = options.async ? undefined : options.return?.();
    return result
      ? { headers: { 'content-type': 'application/json' }, body: JSON.stringify(result) }
      : { status: 204 };
  };
  const { url, received } = await receiver(reply);
  return { url, runs, requests: received };
}

function fault(status: number, code: string): Reply {
  const body = JSON.stringify({ errors: [{ message: code, extensions: { code } }] });
  return { status, headers: { 'content-type': 'application/json' }, body };
}
