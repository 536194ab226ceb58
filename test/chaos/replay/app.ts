/**
 * The application behind the functions: each writes its effect first and fails afterwards, so that an effect of a failed try
 * would show. While `app.mode` is `down` all of them fail. `c_late_function` fails the first `1 + n % 2` tries of each
 * letter in its plan, which it reads from the attempts: what it would remember itself is rolled back with its failure.
 */
export const APP_SQL = `
  do $$
  begin
    create role test_app_owner nologin;
  exception
    when duplicate_object or unique_violation then null;
  end
  $$;
  create schema app authorization test_app_owner;
  grant usage on schema app to iu_core_owner;
  create table app.mode (mode text not null);
  insert into app.mode values ('down');
  create table app.effect (
    effect_no bigserial primary key,
    event_id uuid not null,
    route text not null,
    subject text not null,
    subject_seq bigint
  );
  create index effect_of on app.effect (event_id);
  create function app.act(request jsonb) returns void language sql set search_path = app, pg_temp as $$
    insert into app.effect (event_id, route, subject, subject_seq)
    values (
      (request ->> 'event_ref')::uuid, request ->> 'route_code', request #>> '{event,subject}',
      (request #>> '{event,subject_seq}')::bigint)
  $$;
  create function app.a_mended_function(request jsonb) returns jsonb
  language plpgsql security definer set search_path = app, pg_temp as $$
  begin
    perform app.act(request);
    if (select mode from app.mode) = 'down' then
      raise exception 'the application is down, says number %', request #>> '{safe_payload,n}';
    end if;
    return null;
  end
  $$;
  create function app.e_half_function(request jsonb) returns jsonb
  language plpgsql security definer set search_path = app, pg_temp as $$
  begin
    perform app.act(request);
    if (select mode from app.mode) = 'down' or (request #>> '{safe_payload,n}')::integer % 10 = 0 then
      raise exception 'no room for number %', request #>> '{safe_payload,n}';
    end if;
    return null;
  end
  $$;
  create function app.c_late_function(request jsonb) returns jsonb
  language plpgsql security definer set search_path = app, pg_temp as $$
  declare
    v_key constant text := request ->> 'idempotency_key';
    v_failed constant bigint := (
      select count(*)
      from public.iu_route_attempt
      where iu_route_attempt.idempotency_key >= v_key || ':'
        and iu_route_attempt.idempotency_key < v_key || ';'
    );
  begin
    perform app.act(request);
    if (select mode from app.mode) = 'down' or v_failed < 2 + (request #>> '{safe_payload,n}')::integer % 2 then
      raise exception 'not yet, says number %', request #>> '{safe_payload,n}';
    end if;
    return '{"status": "sent", "delivered": true, "detail": {"late": true}}';
  end
  $$;
  alter table app.mode owner to test_app_owner;
  alter table app.effect owner to test_app_owner;
  grant usage on schema public to test_app_owner;
  grant select on public.iu_route_attempt to test_app_owner;
  alter function app.act(jsonb) owner to test_app_owner;
  alter function app.a_mended_function(jsonb) owner to test_app_owner;
  alter function app.c_late_function(jsonb) owner to test_app_owner;
  alter function app.e_half_function(jsonb) owner to test_app_owner;
  grant execute on all functions in schema app to iu_core_owner`;
