import type pg from 'pg';
import { payloadBatches } from './payloads.ts';
import { withClient } from './with-client.ts';

const EVENTS_A_TRANSACTION = 100;

/** Emits the events as a producer does, 100 in a transaction; each matches the one route that IU Core brings. */
export async function emitEvents(url: string, events: number): Promise<void> {
  await withClient(url, async (client) => {
    // Only here: what was emitted is checkpointed before anything is measured.
    await client.query('set synchronous_commit = off');
    for (const batch of payloadBatches(events, EVENTS_A_TRANSACTION)) await emit(client, batch);
  });
}

async function emit(client: pg.Client, batch: readonly string[]): Promise<void> {
  await client.query({
    name: 'emit',
    text: `select fn_iu_emit_event(
             'iu', 'version_applied', payload::jsonb ->> 'unit', gen_random_uuid(), payload::jsonb, 'bench')
           from unnest($1::text[]) as payload`,
    values: [batch],
  });
}
