import type pg from 'pg';
import { cloudEvent } from '../../delivery/cloud-event.ts';
import { readDeliveryRequest } from '../../delivery/delivery-request.ts';
import { SOURCE } from './deliveries.ts';

/** One event as every contestant posts it. */
export interface QueuedPost {
  /** Idempotency key. */
  readonly key: string;
  /** The CloudEvents envelope. */
  readonly body: string;
}

/** What the queue of a route holds, as its target is going to post it. */
export async function queuedPosts(client: pg.Client, route: string): Promise<QueuedPost[]> {
  const { rows } = await client.query<{ request: unknown; payload: string }>(
    `select request, safe_payload::text as payload
     from iu_route_delivery
     where route_code = $1
     order by due_at`,
    [route],
  );
  return rows.map(({ request: frozen, payload }) => {
    const request = readDeliveryRequest(frozen, payload);
    return { key: request.idempotencyKey, body: cloudEvent(request, SOURCE).toString('utf8') };
  });
}
