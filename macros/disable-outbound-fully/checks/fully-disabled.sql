-- does:      proves, read-only, that L2 and L3 are reached and can be taken back: R1 to R3.
-- called by: macro disable-outbound-fully, step verify.
-- locks:     ACCESS SHARE on the tables it reads.
-- raises:    undefined_function where the worker is not installed.

select
  'R1 routes off' as check_id,
  case when count(*) filter (where r.enabled) = 0 then 'pass' else 'fail' end as verdict,
  format('enabled: %s; off by L2, on again by its way back: %s; off before, left off: %s',
    coalesce(string_agg(r.route_code, ', ' order by r.route_code) filter (where r.enabled), 'none'),
    coalesce(string_agg(r.route_code, ', ' order by r.route_code) filter (where r.disabled_by = 'L2'), 'none'),
    coalesce(
      string_agg(r.route_code, ', ' order by r.route_code) filter (where not r.enabled and r.disabled_by is null),
      'none')) as detail
from iu_outbound_route as r;

with
  listed as (
    select switched_off.*
    from dot_config
    cross join lateral jsonb_to_recordset(dot_config.value::jsonb)
      as switched_off (relation text, trigger text, fires text)
    where dot_config.key = 'iu_core.l3_triggers_off'
  ),
  emitting as (
    select
      t.tgenabled <> 'D' as fires,
      listed.trigger is not null as is_listed,
      format('%s on %s', t.tgname, c.relname) as named
    from pg_trigger as t
    join pg_class as c on c.oid = t.tgrelid
    join pg_namespace as n on n.oid = c.relnamespace
    left join listed on listed.relation = c.relname and listed.trigger = t.tgname
    where n.nspname = current_schema()
      and starts_with(t.tgname, 'trg_iu_out_')
      and not t.tgisinternal
  )
select
  'R2 triggers off' as check_id,
  case when count(*) filter (where emitting.fires) = 0 then 'pass' else 'fail' end as verdict,
  format('firing: %s; off by L3, on again by its way back: %s; off before, left off: %s',
    coalesce(string_agg(emitting.named, ', ' order by emitting.named) filter (where emitting.fires), 'none'),
    coalesce(
      string_agg(emitting.named, ', ' order by emitting.named) filter (where emitting.is_listed and not emitting.fires),
      'none'),
    coalesce(
      string_agg(emitting.named, ', ' order by emitting.named)
        filter (where not emitting.is_listed and not emitting.fires),
      'none')) as detail
from emitting;

with
  cut as (
    select
      (
        select max(dot_config.updated_at)
        from dot_config
        where dot_config.key in ('iu_core.route_worker_enabled', 'iu_core.outbound_enabled')
      ) as stopped_at,
      (
        select min(switched_off.since)
        from dot_config
        cross join lateral jsonb_to_recordset(dot_config.value::jsonb) as switched_off (since timestamptz)
        where dot_config.key = 'iu_core.l3_triggers_off'
      ) as off_since
  ),
  silent as (
    select
      count(*) filter (where unit_version.created_at < coalesce(cut.off_since, 'infinity')) as lost,
      count(*) filter (where unit_version.created_at >= cut.off_since) as missed
    from cut
    join unit_version on unit_version.created_at > cut.stopped_at
    where unit_version.version_seq > 1
      and not exists (
        select
        from event_outbox
        where event_outbox.subject_ref = unit_version.id
          and event_outbox.event_domain = 'iu'
          and event_outbox.event_type = 'version_applied'
      )
  ),
  undecided as (
    select coalesce(sum(jsonb_array_length(cursors.seen -> 'events_without_attempt')), 0) as events
    from jsonb_array_elements(fn_iu_conservation() -> 'cursors') as cursors (seen)
  )
select
  'R3 nothing lost' as check_id,
  case when silent.lost = 0 then 'pass' else 'fail' end as verdict,
  format('versions without event between the stop and L3: %s, since L3: %s, whose events the way back writes; '
    || 'conservation: %s events up to a cursor without attempt; backlog %s',
    silent.lost,
    silent.missed,
    undecided.events,
    fn_iu_route_worker_health() ->> 'backlog') as detail
from silent
cross join undecided;
