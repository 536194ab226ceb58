-- does:      proves, read-only, that planned replays are installed and inert: N1 to N7. Everything that replays stands, nothing
--            is being replayed, and no policy would replay by itself.
-- called by: macro dead-letter-replay, as its last step.
-- locks:     ACCESS SHARE on the tables it reads.
-- raises:    undefined_table where migration 012 is missing.

with
  wanted (name) as (
    values
      ('fn_iu_replay_plan(jsonb,jsonb,text,text)'),
      ('fn_iu_replay_samples(text,integer)'),
      ('fn_iu_replay_tried(text,jsonb)'),
      ('fn_iu_replay_read(text)'),
      ('fn_iu_replay_approve(text,text,text)'),
      ('fn_iu_replay_open(text,jsonb,text,text)'),
      ('fn_iu_replay_abandon(text,text,text)'),
      ('fn_iu_replay_step(text,text,text,integer,integer)'),
      ('fn_iu_replay_next(text,text,text,integer)'),
      ('fn_iu_replay_try(text,text,integer[])'),
      ('fn_iu_replay_fail(text,text,integer,text,text)'),
      ('fn_iu_replay_steer(text,text,text,jsonb,text,text)'),
      ('fn_iu_replay_close(text,text,text,text)'),
      ('fn_iu_replay_report(text)'),
      ('fn_iu_replay_policy_set(text,jsonb,jsonb,integer,integer,integer,text,text,text)'),
      ('fn_iu_replay_policy_switch(text,boolean,text,text)'),
      ('fn_iu_replay_policy_remove(text,text,text)'),
      ('fn_iu_replay_plan_by_policy(text,text,text)'),
      ('fn_iu_dead_letter_change(uuid[],text,text,text)')
  ),
  looked_at as (
    select wanted.name, to_regprocedure(wanted.name)::oid as oid, true as is_called
    from wanted
    union all
    -- What they are made of.
    select p.oid::regprocedure::text, p.oid, false
    from pg_proc as p
    where p.pronamespace = to_regnamespace(quote_ident(current_schema()))
      and starts_with(p.proname, 'fn_iu_replay_')
      and p.oid not in (
        select to_regprocedure(wanted.name)::oid
        from wanted
        where to_regprocedure(wanted.name) is not null
      )
  ),
  judged as (
    select
      looked_at.name,
      looked_at.is_called,
      case
        when p.oid is null then 'missing'
        when p.proowner <> to_regrole('iu_core_owner')::oid then 'not owned by iu_core_owner'
        when not coalesce(p.proconfig, '{}') @> array['search_path=' || quote_ident(current_schema()) || ', pg_temp']
          then 'search path not pinned'
        when has_function_privilege('public', p.oid, 'execute') then 'PUBLIC may execute it'
        when looked_at.is_called and not p.prosecdef then 'runs with the rights of its caller'
        when looked_at.is_called and not has_function_privilege('iu_core_operator', p.oid, 'execute')
          then 'iu_core_operator may not execute it'
      end as fault
    from looked_at
    left join pg_proc as p on p.oid = looked_at.oid
  )
select
  'N1 functions' as check_id,
  case when count(judged.fault) = 0 then 'pass' else 'fail' end as verdict,
  coalesce(
    string_agg(judged.name || ': ' || judged.fault, '; ' order by judged.name) filter (where judged.fault is not null),
    format('%s functions and what they are made of stand, path pinned, closed to PUBLIC',
      count(*) filter (where judged.is_called))) as detail
from judged;

with
  wanted (name, append_only) as (
    values
      ('iu_replay_plan', array['trg_iu_replay_plan_append_only', 'trg_iu_replay_plan_no_truncate']),
      ('iu_replay_progress', '{}'),
      ('iu_replay_run', array['trg_iu_replay_run_no_delete', 'trg_iu_replay_run_no_truncate']),
      ('iu_replay_letter', array['trg_iu_replay_letter_no_delete', 'trg_iu_replay_letter_no_truncate']),
      ('iu_replay_story', array['trg_iu_replay_story_append_only', 'trg_iu_replay_story_no_truncate']),
      ('iu_replay_policy', '{}')
  ),
  judged as (
    select
      wanted.name,
      case
        when c.oid is null then 'missing'
        when c.relowner <> to_regrole('iu_core_owner')::oid then 'not owned by iu_core_owner'
        when exists (
          select
          from aclexplode(c.relacl) as granted
          where granted.grantee <> c.relowner
            and granted.privilege_type <> 'SELECT'
        ) then 'others than its owner may write it'
        when exists (select from aclexplode(c.relacl) as granted where granted.grantee = 0) then 'PUBLIC may read it'
        when (
          select count(*)
          from pg_trigger as t
          where t.tgrelid = c.oid
            and t.tgname = any (wanted.append_only)
            and t.tgenabled = 'A'
        ) < cardinality(wanted.append_only) then 'its history is not kept by triggers that fire always'
      end as fault
    from wanted
    left join pg_class as c on c.oid = to_regclass(wanted.name)
  )
select
  'N2 tables' as check_id,
  case when count(judged.fault) = 0 then 'pass' else 'fail' end as verdict,
  coalesce(
    string_agg(judged.name || ': ' || judged.fault, '; ' order by judged.name) filter (where judged.fault is not null),
    count(*) || ' tables of iu_core_owner, which nobody else may write') as detail
from judged;

with
  setting as (
    select
      max(dot_config.value) filter (where dot_config.key = 'iu_core.replay_approval_above') as approval_above,
      max(dot_config.value) filter (where dot_config.key = 'iu_core.replay_plan_hours') as plan_hours,
      max(dot_config.value) filter (where dot_config.key = 'iu_core.replay_max_letters') as max_letters
    from dot_config
  )
select
  'N3 approval and limits' as check_id,
  case
    when setting.approval_above ~ '^\d{1,9}$' and setting.plan_hours ~ '^[1-9]\d{0,3}$'
      and setting.max_letters ~ '^[1-9]\d{0,8}$' then 'pass'
    else 'fail'
  end as verdict,
  format('a second person approves plans of more than %s letters; a plan is valid for %s hours and has at most %s letters',
    coalesce(setting.approval_above, '(missing)'), coalesce(setting.plan_hours, '(missing)'),
    coalesce(setting.max_letters, '(missing)')) as detail
from setting;

select
  'N4 nothing under way' as check_id,
  case when count(*) filter (where p.state = 'running') = 0 and queued.letters = 0 then 'pass' else 'fail' end as verdict,
  format('plans: %s, running: %s; letters of a plan in the queue of deliveries: %s', count(p.plan_hash),
    coalesce(nullif(string_agg(left(p.plan_hash, 12), ', ') filter (where p.state = 'running'), ''), 'none'),
    queued.letters) as detail
from (select count(*) as letters from iu_replay_letter where iu_replay_letter.state = 'queued') as queued
left join iu_replay_progress as p on true
group by queued.letters;

select
  'N5 policies' as check_id,
  case when count(*) filter (where y.is_enabled) = 0 then 'pass' else 'fail' end as verdict,
  format('%s policies, switched on: %s', count(*),
    coalesce(string_agg(y.policy_code, ', ' order by y.policy_code) filter (where y.is_enabled), 'none')) as detail
from iu_replay_policy as y;

select
  'N6 seam fails closed' as check_id,
  case when fn_iu_route_seam_fails_closed() then 'pass' else 'fail' end as verdict,
  'fn_iu_route_deliver, called for nothing, must raise feature_not_supported' as detail;

with
  seen as materialized (
    select fn_iu_conservation() as proof
  )
select
  'N7 conservation' as check_id,
  case when seen.proof ->> 'balanced' = 'true' then 'pass' else 'fail' end as verdict,
  format('events up to the cursor %s, decided %s; without attempt %s; open dead letters %s',
    seen.proof #>> '{cursors,0,events_up_to_cursor}', seen.proof #>> '{cursors,0,events_decided}',
    seen.proof #>> '{cursors,0,events_without_attempt}', letters.open) as detail
from seen
cross join (
  select count(*) as open
  from iu_route_dead_letter
  where iu_route_dead_letter.state = 'open'
) as letters;
