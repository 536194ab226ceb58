-- does:      proves, read-only, that the worker is live in dry run and nothing was delivered: L1 to L9. Where there is
--            history or somebody writes at this moment, L6 to L9 look at what a run left behind, and say so.
-- called by: macro worker-live-dry-run, step verify-live.
-- locks:     ACCESS SHARE on the tables it reads.
-- raises:    undefined_function where the worker is not installed.

select
  'L1 worker gate' as check_id,
  case when fn_iu_gate_open('iu_core.route_worker_enabled') then 'pass' else 'fail' end as verdict,
  format('iu_core.route_worker_enabled is %s',
    coalesce((select quote_literal(value) from dot_config where key = 'iu_core.route_worker_enabled'), 'missing')) as detail
union all
select
  'L2 master gate',
  case when fn_iu_gate_open('iu_core.outbound_enabled') then 'pass' else 'fail' end,
  format('iu_core.outbound_enabled is %s',
    coalesce((select quote_literal(value) from dot_config where key = 'iu_core.outbound_enabled'), 'missing'));

select
  'L3 route' as check_id,
  case
    when count(*) filter (where r.route_code = 'iu_version_applied' and r.enabled and r.dry_run) = 1
      and count(*) filter (where r.enabled and not r.dry_run) = 0 then 'pass'
    else 'fail'
  end as verdict,
  format('iu_version_applied is %s; %s routes are enabled, %s of them live',
    coalesce(
      string_agg(
        case when r.enabled then 'enabled' else 'disabled' end || case when r.dry_run then ' + dry_run' else ' + live' end,
        '') filter (where r.route_code = 'iu_version_applied'),
      'missing'),
    count(*) filter (where r.enabled),
    count(*) filter (where r.enabled and not r.dry_run)) as detail
from iu_outbound_route as r;

with
  guard as (
    select pg_constraint.conname::text as name
    from pg_constraint
    where pg_constraint.conrelid = 'iu_outbound_route'::regclass
      and pg_constraint.conname = 'iu_outbound_route_safe_chk'
      and pg_constraint.convalidated
    union all
    select pg_trigger.tgname::text
    from pg_trigger
    where pg_trigger.tgrelid = 'iu_outbound_route'::regclass
      and pg_trigger.tgname = 'trg_iu_outbound_route_safe_guard'
      and pg_trigger.tgenabled = 'A'
  )
select
  'L4 route guard' as check_id,
  case when count(*) = 1 then 'pass' else 'fail' end as verdict,
  coalesce(string_agg(guard.name, ', ') || ' stands: dry_run=false is not possible on an enabled route',
    'no guard keeps a live route from being enabled') as detail
from guard;

select
  'L5 seam fails closed' as check_id,
  case when fn_iu_route_seam_fails_closed() then 'pass' else 'fail' end as verdict,
  'fn_iu_route_deliver, called for nothing, must raise feature_not_supported' as detail;

with
  audited as (
    select
      (select count(*) from iu_route_attempt)
        + (select coalesce(sum(iu_outbox_partition.attempts), 0) from iu_outbox_partition) as attempts,
      (select count(*) from iu_route_attempt where status = 'sent' or delivered) as sent,
      (select count(*) from iu_route_dead_letter) as dead_letters,
      (select count(*) from v_iu_route_dead_letter_open) as dead_letters_open
  ),
  followed as (
    select *
    from iu_route_worker_cursor
    where cursor_code = 'iu_outbound_default'
  )
select
  'L6 first run' as check_id,
  case
    when followed.last_run_summary ->> 'status' is distinct from 'ran' then 'fail'
    when followed.cursor_event_id is null then 'pass'
    when audited.attempts > 0 then 'pass'
    else 'fail'
  end as verdict,
  case
    when followed.last_run_summary ->> 'status' is distinct from 'ran' then 'no run is recorded for iu_outbound_default'
    when followed.cursor_event_id is null then format('run at %s recorded, keyset still NULL', followed.last_run_at)
    when audited.attempts > 0 then format('run at %s recorded; keyset at event %s after %s attempts: history, accepted',
      followed.last_run_at, followed.cursor_event_id, audited.attempts)
    else 'the keyset has moved, and no attempt says why'
  end as detail
from audited
left join followed on true
union all
select
  'L7 audit',
  case
    when audited.attempts + audited.dead_letters = 0 then 'pass'
    when audited.dead_letters_open = 0 and conserved.proof ->> 'balanced' = 'true' then 'pass'
    else 'fail'
  end,
  format('%s/%s', audited.attempts, audited.dead_letters)
    || case
      when audited.attempts + audited.dead_letters = 0 then ''
      when audited.dead_letters_open = 0 and conserved.proof ->> 'balanced' = 'true'
        then format(': history, accepted: conservation balanced, no open dead letter, %s sent', audited.sent)
      else format(': history with %s open dead letters, conservation balanced=%s',
        audited.dead_letters_open, conserved.proof ->> 'balanced')
    end
from audited
cross join (select fn_iu_conservation() as proof) as conserved;

with
  seen as materialized (
    select fn_iu_route_worker_health() as health
  ),
  left_behind as (
    -- What the last run could have claimed and did not. Events that came since, or were not settled then, are not it;
    -- nor is what lies behind a run that took as many as it was asked for.
    select count(*) as events
    from iu_route_worker_cursor as followed
    join event_outbox as e
      on (e.epoch, e.xact_id, e.created_at, e.id) > (
        coalesce(followed.cursor_epoch, 0),
        coalesce(followed.cursor_xact_id, '0'),
        coalesce(followed.cursor_created_at, '-infinity'),
        coalesce(followed.cursor_event_id, '00000000-0000-0000-0000-000000000000'))
      and (e.epoch, e.xact_id) < (
        (select max(iu_outbox_epoch.epoch) from iu_outbox_epoch),
        coalesce(followed.last_run_summary ->> 'horizon', '0')::xid8)
      and e.created_at <= followed.last_run_at - followed.safety_lag
    where followed.cursor_code = 'iu_outbound_default'
      and followed.last_run_summary ->> 'seen' is distinct from followed.last_run_summary ->> 'limit'
  )
select
  'L8 health' as check_id,
  case
    when seen.health @> '{"healthy": true, "worker_gate_open": true}' and left_behind.events = 0 then 'pass'
    else 'fail'
  end as verdict,
  format('healthy=%s, worker_gate_open=%s, backlog %s', seen.health ->> 'healthy', seen.health ->> 'worker_gate_open',
      seen.health ->> 'backlog')
    || case when seen.health ->> 'healthy' = 'true' then '' else ' ' || (seen.health ->> 'reasons') end as detail
from seen
cross join left_behind
union all
select
  'L9 backlog',
  case when left_behind.events = 0 then 'pass' else 'fail' end,
  format('backlog %s', seen.health ->> 'backlog')
    || case
      when seen.health ->> 'backlog' = '0' then ''
      when left_behind.events = 0 then ': events since the last run, or beyond its limit; it left none behind'
      else format(': the last run left %s behind that it could have claimed', left_behind.events)
    end
from seen
cross join left_behind;
