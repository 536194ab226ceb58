-- does:      tells whether the worker may go live in dry run: M1 to M6. It is run after event-worker, and again on a
--            database where the worker is live already.
-- called by: macro worker-live-dry-run, step mandatory-gates.
-- locks:     ACCESS SHARE on the tables it reads.
-- raises:    nothing where the worker is missing: M1 fails, the others are not_run.

do $$
-- The worker may be missing, so it is asked only where it is there; the answers wait in a setting of this transaction.
declare
  v_seen jsonb := '{}';
begin
  if to_regprocedure('fn_iu_route_worker_health()') is not null
    and to_regprocedure('fn_iu_conservation()') is not null
    and to_regclass('iu_outbound_route') is not null
    and to_regclass('dot_config') is not null
  then
    v_seen := jsonb_build_object(
      'health', fn_iu_route_worker_health(),
      'conservation', fn_iu_conservation(),
      'seam_closed', fn_iu_route_seam_fails_closed(),
      'worker_gate', (select dot_config.value from dot_config where dot_config.key = 'iu_core.route_worker_enabled'),
      'live', (select count(*) from iu_outbound_route as r where r.enabled and not r.dry_run),
      'ready', (
        select count(*)
        from iu_outbound_route as r
        where r.route_code = 'iu_version_applied'
          and r.enabled
          and r.dry_run
      )
    );
  end if;
  perform set_config('iu_core.gates_seen', v_seen::text, true);
end
$$;

with
  seen as (
    select current_setting('iu_core.gates_seen')::jsonb as facts
  ),
  guard as (
    select count(*) as guards
    from (
      select
      from pg_constraint as k
      where k.conrelid = to_regclass('iu_outbound_route')
        and k.conname = 'iu_outbound_route_safe_chk'
        and k.convalidated
      union all
      select
      from pg_trigger as t
      where t.tgrelid = to_regclass('iu_outbound_route')
        and t.tgname = 'trg_iu_outbound_route_safe_guard'
        and t.tgenabled = 'A'
    ) as one
  ),
  judged (check_id, passes, detail) as (
    select
      'M1 worker installed',
      seen.facts <> '{}' and to_regprocedure('fn_iu_route_worker_run(text,integer)') is not null,
      case
        when seen.facts = '{}' then 'the worker is missing: run macro event-worker first'
        else 'worker, health and conservation stand'
      end
    from seen
    union all
    select
      'M2 gates',
      seen.facts #>> '{health,master_gate_open}' = 'true' and seen.facts ->> 'worker_gate' in ('true', 'false'),
      format('master gate open: %s; worker gate: %s (true: live already)',
        seen.facts #>> '{health,master_gate_open}', coalesce(seen.facts ->> 'worker_gate', 'missing'))
    from seen
    union all
    select
      'M3 dry run only',
      guard.guards = 1 and seen.facts ->> 'live' = '0' and seen.facts ->> 'ready' = '1',
      format('guards of the routes: %s; enabled and live: %s; iu_version_applied ready: %s',
        guard.guards, seen.facts ->> 'live', seen.facts ->> 'ready')
    from seen
    cross join guard
    union all
    select
      'M4 seam fails closed',
      (seen.facts ->> 'seam_closed')::boolean and seen.facts #>> '{health,delivery_gate_open}' = 'false',
      format('seam refuses as unbuilt: %s; delivery gate open: %s',
        seen.facts ->> 'seam_closed', seen.facts #>> '{health,delivery_gate_open}')
    from seen
    union all
    select
      'M5 no open dead letter, no stall',
      seen.facts #>> '{health,dead_letter_open}' = '0'
        and seen.facts #>> '{health,high_water_mark,stalled}' = 'false',
      format('open dead letters: %s; high-water mark stalled: %s, held back by %s',
        seen.facts #>> '{health,dead_letter_open}', seen.facts #>> '{health,high_water_mark,stalled}',
        coalesce(seen.facts #>> '{health,high_water_mark,blocker}', 'nobody'))
    from seen
    union all
    select
      'M6 conservation',
      seen.facts #>> '{conservation,balanced}' = 'true',
      format('balanced: %s over %s events',
        seen.facts #>> '{conservation,balanced}', seen.facts #>> '{conservation,events}')
    from seen
  )
select
  judged.check_id,
  case
    when judged.passes then 'pass'
    when seen.facts = '{}' and judged.check_id <> 'M1 worker installed' then 'not_run'
    else 'fail'
  end as verdict,
  judged.detail
from judged
cross join seen
order by judged.check_id;
