-- does:      tells whether migration 012 and the functions of planned replays stand: settings, tables, functions, all of
--            iu_core_owner.
-- called by: macro dead-letter-replay, before step install-012.
-- locks:     ACCESS SHARE on dot_config.
-- raises:    undefined_table where the base is missing.

with
  wanted (kind, name) as (
    values
      ('setting', 'iu_core.replay_approval_above'),
      ('setting', 'iu_core.replay_plan_hours'),
      ('setting', 'iu_core.replay_max_letters'),
      ('relation', 'iu_replay_plan'),
      ('relation', 'iu_replay_progress'),
      ('relation', 'iu_replay_run'),
      ('relation', 'iu_replay_letter'),
      ('relation', 'iu_replay_story'),
      ('relation', 'iu_replay_policy'),
      ('function', 'fn_iu_replay_plan(jsonb,jsonb,text,text)'),
      ('function', 'fn_iu_replay_samples(text,integer)'),
      ('function', 'fn_iu_replay_tried(text,jsonb)'),
      ('function', 'fn_iu_replay_failure(uuid)'),
      ('function', 'fn_iu_replay_policies()'),
      ('function', 'fn_iu_replay_read(text)'),
      ('function', 'fn_iu_replay_approve(text,text,text)'),
      ('function', 'fn_iu_replay_open(text,jsonb,text,text)'),
      ('function', 'fn_iu_replay_abandon(text,text,text)'),
      ('function', 'fn_iu_replay_step(text,text,text,integer,integer)'),
      ('function', 'fn_iu_replay_next(text,text,text,integer)'),
      ('function', 'fn_iu_replay_try(text,text,integer[])'),
      ('function', 'fn_iu_replay_fail(text,text,integer,text,text)'),
      ('function', 'fn_iu_replay_steer(text,text,text,jsonb,text,text)'),
      ('function', 'fn_iu_replay_close(text,text,text,text)'),
      ('function', 'fn_iu_replay_report(text)'),
      ('function', 'fn_iu_replay_policy_set(text,jsonb,jsonb,integer,integer,integer,text,text,text)'),
      ('function', 'fn_iu_replay_policy_switch(text,boolean,text,text)'),
      ('function', 'fn_iu_replay_policy_remove(text,text,text)'),
      ('function', 'fn_iu_replay_plan_by_policy(text,text,text)')
  ),
  found (kind, name, owner) as (
    select 'relation', c.relname::text, c.relowner
    from pg_class as c
    where c.relnamespace = to_regnamespace(quote_ident(current_schema()))
    union all
    select wanted.kind, wanted.name, p.proowner
    from wanted
    join pg_proc as p on p.oid = to_regprocedure(wanted.name)
    where wanted.kind = 'function'
    union all
    select 'setting', dot_config.key, to_regrole('iu_core_owner')::oid
    from dot_config
    where dot_config.value is not null
  )
select
  'migration 012 holds' as check_id,
  case when count(found.name) = count(*) then 'pass' else 'fail' end as verdict,
  coalesce('missing, or not owned by iu_core_owner: '
      || string_agg(format('%s %s', wanted.kind, wanted.name), ', ' order by wanted.name)
        filter (where found.name is null),
    count(*) || ' objects and settings stand') as detail
from wanted
left join found on found.kind = wanted.kind
  and found.name = wanted.name
  and found.owner = to_regrole('iu_core_owner')::oid;
