import type pg from 'pg';
import { liveRoute, type RouteRow, setConfig } from '../../sql-delivery/support/deliveries.ts';
import { ask, runWorker } from '../../sql-worker/support/worker.ts';

export const FUNCTION = 'app.take';

/**
 * A schema of an application with a function that a sql_function route may call: it writes a row into `app.effect`, then
 * does what `app.trouble` says of the event's `n`, or of `*`: a message that it raises. Nothing there: it takes the event.
 */
export async function buildReplayApp(client: pg.Client): Promise<void> {
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
    create table app.trouble (n text primary key, message text not null);
    create table app.effect (
      effect_no bigserial primary key,
      event_id uuid not null,
      route_code text not null,
      n text
    );
    alter table app.trouble owner to test_app_owner;
    alter table app.effect owner to test_app_owner;
    create function app.take(request jsonb)
      returns jsonb
      language plpgsql
      security definer
      set search_path = app, pg_temp
    as $$
    declare
      v_n constant text := request #>> '{safe_payload,n}';
      v_message constant text := (
        select trouble.message from trouble where trouble.n in (v_n, '*', request ->> 'route_code')
        order by trouble.n = v_n desc limit 1);
    begin
      insert into effect (event_id, route_code, n)
      values ((request ->> 'event_ref')::uuid, request ->> 'route_code', v_n);
      if v_message = 'lost' then
        raise exception using errcode = 'deadlock_detected', message = 'made up';
      elsif v_message = 'sleeps' then
        perform pg_sleep(600);
      elsif v_message is not null then
        raise exception '%', v_message;
      end if;
      return '{"status": "sent", "delivered": true}';
    end
    $$;
    alter function app.take(jsonb) owner to test_app_owner;
    revoke all on function app.take(jsonb) from public;
    grant execute on function app.take(jsonb) to iu_core_owner;
    grant select on app.effect to iu_core_owner`);
}

/** A live route that calls the function; it takes events of the type of its name. */
export async function callingRoute(client: pg.Client, code: string, route: RouteRow = {}): Promise<void> {
  await setConfig(client, 'delivery_functions', FUNCTION);
  await liveRoute(client, code, { kind: 'sql_function', ref: FUNCTION, type: code, ...route });
}

/** What the function raises for an event by its `n`, a route, or `*`; null: nothing any more. */
export async function trouble(client: pg.Client, n: string, message: string | null): Promise<void> {
  await client.query('delete from app.trouble where n = $1', [n]);
  if (message !== null)
    await client.query('insert into app.trouble (n, message) values ($1, $2)', [n, message]);
}

export async function cure(client: pg.Client): Promise<void> {
  await client.query('delete from app.trouble');
}

/** Emits events of a type, each with its `n` and, where it is told, of a subject; answers their ids. */
export async function emitAll(
  client: pg.Client,
  type: string,
  names: readonly string[],
  subject?: string,
): Promise<string[]> {
  return ask<string[]>(
    client,
    `select array_agg(fn_iu_emit_event('iu', $1, coalesce($3, n), null, jsonb_build_object('n', n), 'a test') order by place) as answer
     from unnest($2::text[]) with ordinality as named (n, place)`,
    [type, names, subject ?? null],
  );
}

/** Emits events that the function of a route raises over, and routes them: a dead letter each; answers their ids. */
export async function bury(
  client: pg.Client,
  type: string,
  names: readonly string[],
  { message = 'no room', subject }: { message?: string; subject?: string } = {},
): Promise<string[]> {
  for (const n of names) await trouble(client, n, message);
  const events = await emitAll(client, type, names, subject);
  await runWorker(client, 1000);
  return events;
}

/** What the function did and nobody rolled back: `n`, in the order of the calls. */
export async function effects(client: pg.Client): Promise<string[]> {
  return ask<string[]>(
    client,
    `select coalesce(array_agg(n order by effect_no), '{}') as answer from app.effect`,
  );
}
