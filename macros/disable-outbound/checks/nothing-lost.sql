-- does:      proves, read-only, that stopping lost nothing: every version written since the gates closed has its event,
--            which waits in the backlog. What was out of balance before is said and does not count: a stop that refuses
--            where something is wrong would be none.
-- called by: macro disable-outbound, step verify.
-- locks:     ACCESS SHARE on the tables it reads.
-- raises:    undefined_function where the worker is not installed.

with
  stop as (
    select coalesce(max(dot_config.updated_at), transaction_timestamp()) as stopped_at
    from dot_config
    where dot_config.key in ('iu_core.route_worker_enabled', 'iu_core.outbound_enabled')
  ),
  edited as materialized (
    select unit_version.id
    from stop
    join unit_version on unit_version.created_at > stop.stopped_at
    where unit_version.version_seq > 1
  ),
  counted as (
    select
      count(*) as versions,
      count(*) filter (where not exists (
        select
        from event_outbox
        where event_outbox.subject_ref = edited.id
          and event_outbox.event_domain = 'iu'
          and event_outbox.event_type = 'version_applied'
      )) as silent
    from edited
  )
select
  'S5 nothing lost' as check_id,
  case when counted.silent = 0 then 'pass' else 'fail' end as verdict,
  format('%s versions since the stop, %s of them without event; backlog %s; conservation balanced: %s',
    counted.versions,
    counted.silent,
    fn_iu_route_worker_health() ->> 'backlog',
    case fn_iu_conservation() ->> 'balanced'
      when 'true' then 'true'
      else 'FALSE, and it was before the stop; sluice outbox conservation lists the ids'
    end) as detail
from counted;
