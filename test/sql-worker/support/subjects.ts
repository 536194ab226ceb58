import type pg from 'pg';
import { ask } from './worker.ts';

/** Emits one event of a subject and answers its id. */
export async function emitOf(
  client: pg.Client,
  subject: string | null,
  payload: object = {},
  type = 'version_applied',
): Promise<string> {
  return ask<string>(client, `select fn_iu_emit_event('iu', $1, $2, null, $3, 'a test') as answer`, [
    type,
    subject,
    JSON.stringify(payload),
  ]);
}

/**
 * What became of the events, in the order in which it was recorded: subject, number among its subject, decision, then
 * the number of a later attempt and the flag of an event that went past a dead letter.
 */
export async function recorded(client: pg.Client, route = 'iu_version_applied'): Promise<string[]> {
  const { rows } = await client.query<{ told: string }>(
    `select format('%s/%s %s', event_subject, subject_seq, decision)
         || case when attempt_no > 1 then ' #' || attempt_no else '' end
         || case when detail @> '{"after_dead_letter": true}' then ' past a dead letter' else '' end as told
     from iu_route_attempt
     join event_outbox on event_outbox.id = iu_route_attempt.event_id
     where route_code = $1
     order by iu_route_attempt.created_at, iu_route_attempt.tableoid, iu_route_attempt.ctid`,
    [route],
  );
  return rows.map((row) => row.told);
}

/** The events that wait for the one before them: `a/2`. */
export async function held(client: pg.Client): Promise<string[]> {
  const { rows } = await client.query<{ told: string }>(
    `select format('%s/%s', event_subject, subject_seq) as told
     from iu_route_held
     order by route_code, event_subject, subject_seq`,
  );
  return rows.map((row) => row.told);
}

/** The proof that nothing was lost, and what it counts as held: `balanced`, or `balanced, 2 held`. */
export async function conserved(client: pg.Client): Promise<string> {
  return ask<string>(
    client,
    `select case when proof ->> 'balanced' = 'true' then 'balanced' else 'NOT balanced: ' || proof::text end
       || coalesce(', ' || sum((waiting ->> 'events')::int) || ' held', '') as answer
     from (select fn_iu_conservation() as proof) as proven
     left join lateral jsonb_array_elements(proof -> 'held') as waiting on true
     group by proof`,
  );
}
