import type pg from 'pg';
import { liveRoute, type RouteRow, setConfig } from './deliveries.ts';

export const FUNCTION = 'app.take';

/**
 * A schema of an application beside IU Core, owned by a role of its own, with a function that a sql_function route may
 * call: it writes a row into `app.effect`, then does what `does` in the payload says.
 */
export async function buildApp(client: pg.Client): Promise<void> {
  await client.query(`
    do $$
    begin
      create role test_app_owner nologin;
    exception
      when duplicate_object or unique_violation then null;
    end
    $$;
    create schema app authorization test_app_owner;
    grant usage on schema app to iu_core_owner;
    create table app.effect (
      effect_no bigserial primary key,
      event_id uuid not null,
      idempotency_key text not null,
      request jsonb not null
    );
    alter table app.effect owner to test_app_owner;
    create function app.take(request jsonb)
      returns jsonb
      language plpgsql
      security definer
      set search_path = app, pg_temp
    as $$
    begin
      insert into app.effect (event_id, idempotency_key, request)
      values ((request ->> 'event_ref')::uuid, request ->> 'idempotency_key', request);
      case request #>> '{safe_payload,does}'
        when 'raises' then raise exception 'no room for %', request ->> 'event_ref';
        when 'commits' then commit;
        when 'rolls back' then rollback;
        when 'sleeps' then perform pg_sleep(600);
        when 'drops the outbox' then drop table public.event_outbox cascade;
        when 'empties the audit' then truncate public.iu_route_attempt;
        when 'opens a gate' then update public.dot_config set value = 'true';
        when 'becomes the owner' then set local role iu_core_owner;
        when 'moves the cursor' then delete from public.iu_route_worker_cursor;
        when 'answers failed' then return '{"status": "failed", "detail": {"why": "full"}}';
        when 'answers text' then return '"sent"';
        when 'answers a list' then return '[{"status": "sent"}]';
        when 'answers an unknown status' then return '{"status": "done"}';
        when 'answers queued' then return '{"status": "queued"}';
        when 'answers delivered without sent' then return '{"status": "skipped", "delivered": true}';
        when 'answers a detail that is a list' then return '{"status": "sent", "detail": []}';
        when 'answers delivered in words' then return '{"status": "sent", "delivered": "yes"}';
        when 'answers nothing' then return null;
        when 'answers the null of JSON' then return 'null';
        when 'skips' then return '{"status": "skipped", "detail": {"because": "older"}}';
        when 'cannot say' then return '{"status": "sent"}';
        else null;
      end case;
      return '{"status": "sent", "delivered": true, "detail": {"row": 1}}';
    end
    $$;
    alter function app.take(jsonb) owner to test_app_owner;
    revoke all on function app.take(jsonb) from public;
    grant execute on function app.take(jsonb) to iu_core_owner;
    grant select on app.effect to iu_core_owner`);
}

/** A live route that calls the function of the application, which the list allows. */
export async function functionRoute(client: pg.Client, code: string, route: RouteRow = {}): Promise<void> {
  await setConfig(client, 'delivery_functions', FUNCTION);
  await liveRoute(client, code, { kind: 'sql_function', ref: FUNCTION, ...route });
}

/** What the function did and nobody rolled back: `n` of each event, in the order of the calls. */
export async function effects(client: pg.Client): Promise<string[]> {
  const { rows } = await client.query<{ n: string }>(
    `select coalesce(payload ->> 'n', event_subject) as n
     from app.effect join event_outbox on event_outbox.id = effect.event_id order by effect_no`,
  );
  return rows.map((row) => row.n);
}
