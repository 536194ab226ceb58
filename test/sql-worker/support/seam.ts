import type pg from 'pg';

/**
 * Gives the delivery seam a target: each call writes a row into `effect`, numbered as it comes, and an event whose
 * payload has `raise` makes it raise. Routes may be live from here on; their gate is still to be opened.
 */
export async function buildSeam(client: pg.Client): Promise<void> {
  await client.query(`
    alter table iu_outbound_route drop constraint iu_outbound_route_safe_chk;
    create table effect (
      effect_no bigserial primary key,
      event_id uuid not null,
      route_code text not null,
      idempotency_key text not null
    );
    alter table effect owner to iu_core_owner;
    create or replace function fn_iu_route_deliver(p_route_code text, p_event_id uuid, p_request jsonb)
      returns jsonb
      language plpgsql
      volatile
      set search_path = public, pg_temp
    as $$
    begin
      if p_request -> 'safe_payload' ? 'raise' then
        raise exception 'the target refuses event %', p_event_id;
      end if;
      insert into effect (event_id, route_code, idempotency_key)
      values (p_event_id, p_route_code, p_request ->> 'idempotency_key');
      return '{"status": "sent", "delivered": true}';
    end
    $$`);
}

/** Opens or closes the delivery gate for the named routes. */
export async function setDelivery(client: pg.Client, open: boolean, routes: string): Promise<void> {
  await client.query(
    `insert into dot_config (key, value)
     values ('iu_core.delivery_enabled', $1), ('iu_core.delivery_live_routes', $2)
     on conflict (key) do update set value = excluded.value`,
    [String(open), routes],
  );
}

/** Subject and number of every effect, in the order in which the target was called: `a/1`. */
export async function effects(client: pg.Client): Promise<string[]> {
  const { rows } = await client.query<{ told: string }>(
    `select format('%s/%s', event_subject, coalesce(subject_seq::text, payload ->> 'n')) as told
     from effect
     join event_outbox on event_outbox.id = effect.event_id
     order by effect_no`,
  );
  return rows.map((row) => row.told);
}
