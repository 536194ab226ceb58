-- does:      proves, read-only, that the base of IU Core stands as it should: B1 to B12. What later migrations add is held
--            to the same rules.
-- called by: macro iu-core-base, step verify.
-- locks:     ACCESS SHARE on the tables it reads.
-- raises:    undefined_table where the base is not installed.

with
  wanted (relation) as (
    values
      ('dot_config'), ('iu_control_change'), ('iu_outbox_epoch'), ('iu_outbox_subject'), ('iu_outbox_partition'),
      ('event_outbox'), ('iu_outbound_route'), ('iu_route_attempt'),
      ('information_unit'), ('unit_version'), ('iu_tree_path'), ('iu_relation_kind'), ('iu_relation'),
      ('iu_structure_operation_kind'), ('iu_structure_operation'), ('iu_sql_link'), ('v_iu_sql_link_status')
  )
select
  'B1 objects stand' as check_id,
  case when count(*) filter (where to_regclass(wanted.relation) is null) = 0 then 'pass' else 'fail' end as verdict,
  coalesce('missing: ' || string_agg(wanted.relation, ', ') filter (where to_regclass(wanted.relation) is null),
    count(*) || ' relations stand') as detail
from wanted;

with
  ours as (
    select c.relname::text as object, c.relowner as owner
    from pg_class as c
    where c.relnamespace = to_regnamespace(quote_ident(current_schema()))
      and c.relkind not in ('i', 'I')
      and (c.relname in ('dot_config', 'information_unit', 'unit_version') or c.relname ~ '^((v_)?iu_|event_outbox)')
    union all
    select p.oid::regprocedure::text, p.proowner
    from pg_proc as p
    where p.pronamespace = to_regnamespace(quote_ident(current_schema()))
      and p.proname ~ '^fn_iu_'
  )
select
  'B2 one owner' as check_id,
  case when count(*) filter (where ours.owner is distinct from to_regrole('iu_core_owner')::oid) = 0 then 'pass' else 'fail' end
    as verdict,
  coalesce('not owned by iu_core_owner: '
      || string_agg(ours.object, ', ') filter (where ours.owner is distinct from to_regrole('iu_core_owner')::oid),
    count(*) || ' objects belong to iu_core_owner') as detail
from ours;

with
  pinned as (
    select
      p.oid::regprocedure::text as object,
      coalesce(p.proconfig, '{}') @> array['search_path=' || quote_ident(current_schema()) || ', pg_temp']
        -- Becomes part of the statement that calls it, and qualifies every name instead.
        or p.proname = 'fn_iu_delivery_request' and not p.prosecdef as is_pinned,
      coalesce(has_function_privilege('public', p.oid, 'execute'), true) as is_public
    from pg_proc as p
    where p.pronamespace = to_regnamespace(quote_ident(current_schema()))
      and p.proname ~ '^fn_iu_'
  )
select
  'B3 search paths pinned' as check_id,
  case when count(*) filter (where not pinned.is_pinned) = 0 then 'pass' else 'fail' end as verdict,
  coalesce('not pinned to the schema and pg_temp: ' || string_agg(pinned.object, ', ') filter (where not pinned.is_pinned),
    count(*) || ' functions have their path pinned') as detail
from pinned
union all
select
  'B4 no execute for PUBLIC',
  case when count(*) filter (where pinned.is_public) = 0 then 'pass' else 'fail' end,
  coalesce('PUBLIC may execute: ' || string_agg(pinned.object, ', ') filter (where pinned.is_public),
    'PUBLIC may execute none of ' || count(*) || ' functions')
from pinned;

with
  granted as (
    select
      c.relname::text as relation,
      case a.grantee when 0 then 'PUBLIC' else a.grantee::regrole::text end as grantee,
      a.privilege_type
    from pg_class as c
    cross join lateral aclexplode(c.relacl) as a
    where c.relnamespace = to_regnamespace(quote_ident(current_schema()))
      and (c.relname in ('dot_config', 'information_unit', 'unit_version') or c.relname ~ '^((v_)?iu_|event_outbox)')
      and a.grantee <> c.relowner
  ),
  excessive as (
    select format('%s %s on %s', granted.grantee, lower(granted.privilege_type), granted.relation) as grant_text
    from granted
    where granted.grantee = 'PUBLIC'
      or (granted.grantee in ('iu_core_emitter', 'iu_core_worker', 'iu_core_auditor')
        and granted.privilege_type <> 'SELECT')
      or (granted.relation ~ '^(event_outbox|iu_route_attempt)'
        and granted.privilege_type <> 'SELECT')
      or (granted.relation in ('iu_control_change', 'information_unit', 'unit_version', 'iu_structure_operation')
        and granted.privilege_type <> 'SELECT')
  )
select
  'B5 least privilege' as check_id,
  case when count(*) = 0 then 'pass' else 'fail' end as verdict,
  coalesce('too much: ' || string_agg(excessive.grant_text, ', ' order by excessive.grant_text),
    'nothing for PUBLIC; nobody but the owner writes outbox, audit, units or operations') as detail
from excessive;

with
  -- Bits of pg_trigger.tgtype: 2 before, 4 insert, 8 delete, 16 update, 32 truncate.
  wanted (relation, routine, bits) as (
    values
      ('event_outbox', 'fn_iu_append_only()', 2 | 8 | 16),
      ('event_outbox', 'fn_iu_append_only()', 2 | 32),
      ('iu_route_attempt', 'fn_iu_append_only()', 2 | 8 | 16),
      ('iu_route_attempt', 'fn_iu_append_only()', 2 | 32),
      ('unit_version', 'fn_iu_append_only()', 2 | 8 | 16),
      ('unit_version', 'fn_iu_append_only()', 2 | 32),
      ('unit_version', 'fn_iu_version_in_sequence()', 2 | 4),
      ('unit_version', 'fn_iu_out_version()', 4),
      ('iu_structure_operation', 'fn_iu_structure_operation_guard()', 2 | 4 | 8 | 16),
      ('iu_structure_operation', 'fn_iu_structure_operation_guard()', 2 | 32)
  ),
  faulty as (
    select format('%s by %s is not there', wanted.relation, wanted.routine) as fault
    from wanted
    where not exists (
      select 1
      from pg_trigger as t
      where t.tgrelid = to_regclass(wanted.relation)
        and t.tgfoid = to_regprocedure(wanted.routine)
        and (t.tgtype & wanted.bits) = wanted.bits
    )
    union all
    select format('%s by %s is not there', i.inhrelid::regclass, wanted.routine)
    from wanted
    join pg_inherits as i on i.inhparent = to_regclass(wanted.relation)
    where not exists (
      select 1
      from pg_trigger as t
      where t.tgrelid = i.inhrelid
        and t.tgfoid = to_regprocedure(wanted.routine)
        and (t.tgtype & wanted.bits) = wanted.bits
    )
    union all
    select format('%s on %s is not ENABLE ALWAYS', t.tgname, t.tgrelid::regclass)
    from pg_trigger as t
    where t.tgrelid in (
        select to_regclass(wanted.relation)
        from wanted
        union all
        select i.inhrelid
        from wanted
        join pg_inherits as i on i.inhparent = to_regclass(wanted.relation)
      )
      and not t.tgisinternal
      and t.tgenabled <> 'A'
  )
select
  'B6 triggers guard for every session' as check_id,
  case when count(*) = 0 then 'pass' else 'fail' end as verdict,
  coalesce(string_agg(faulty.fault, ', ' order by faulty.fault),
    'outbox, audit, versions and operations are guarded, their triggers ENABLE ALWAYS') as detail
from faulty;

select
  'B7 gates' as check_id,
  case
    when master.value in ('true', 'false')
      and (
        structure.value = 'false'
        or exists (
          select 1
          from pg_proc as p
          where p.pronamespace = to_regnamespace(quote_ident(current_schema()))
            and p.proname ~ '^fn_iu_structure_op_'
        )
      )
      and fn_iu_gate_open('iu_core.a_gate_without_a_row') is false
    then 'pass'
    else 'fail'
  end as verdict,
  format('iu_core.outbound_enabled: %s; iu_core.structure_ops_enabled: %s; a gate without a row reads as open: %s',
    coalesce(master.value, 'no row'), coalesce(structure.value, 'no row'),
    fn_iu_gate_open('iu_core.a_gate_without_a_row')) as detail
from (values (1)) as one
left join dot_config as master on master.key = 'iu_core.outbound_enabled'
left join dot_config as structure on structure.key = 'iu_core.structure_ops_enabled';

select
  'B8 routes are safe' as check_id,
  case
    when count(*) filter (where r.enabled and not r.dry_run) = 0
      and exists (
        select 1
        from pg_constraint as k
        where k.conrelid = to_regclass('iu_outbound_route')
          and k.conname = 'iu_outbound_route_safe_chk'
          and k.convalidated
        union all
        select 1
        from pg_trigger as t
        where t.tgrelid = to_regclass('iu_outbound_route')
          and t.tgname ~ 'safe|guard'
          and t.tgenabled = 'A'
      )
    then 'pass'
    else 'fail'
  end as verdict,
  format('%s routes, %s of them live; the safety guard must stand', count(*),
    count(*) filter (where r.enabled and not r.dry_run)) as detail
from iu_outbound_route as r;

with
  described as (
    select c.relname::text as object, obj_description(c.oid, 'pg_class') as comment
    from pg_class as c
    where c.relnamespace = to_regnamespace(quote_ident(current_schema()))
      and c.relkind in ('r', 'p', 'v', 'm')
      and (c.relname in ('dot_config', 'information_unit', 'unit_version') or c.relname ~ '^((v_)?iu_|event_outbox)')
    union all
    select p.oid::regprocedure::text, obj_description(p.oid, 'pg_proc')
    from pg_proc as p
    where p.pronamespace = to_regnamespace(quote_ident(current_schema()))
      and p.proname ~ '^fn_iu_'
  )
select
  'B9 each object names its layer' as check_id,
  case when count(*) filter (where described.comment !~ '^Layer [a-z]+\. ' or described.comment is null) = 0
    then 'pass' else 'fail' end as verdict,
  coalesce('names no layer: '
      || string_agg(described.object, ', ') filter (where described.comment !~ '^Layer [a-z]+\. ' or described.comment is null),
    count(*) || ' objects name their layer') as detail
from described;

select
  'B10 constraints and indexes are valid' as check_id,
  case when count(*) = 0 then 'pass' else 'fail' end as verdict,
  coalesce('not valid: ' || string_agg(invalid.name, ', '), 'every constraint is validated, every index valid') as detail
from (
  select k.conname::text as name
  from pg_constraint as k
  join pg_class as c on c.oid = k.conrelid
  where c.relnamespace = to_regnamespace(quote_ident(current_schema()))
    and c.relowner = to_regrole('iu_core_owner')::oid
    and not k.convalidated
  union all
  select i.indexrelid::regclass::text
  from pg_index as i
  join pg_class as c on c.oid = i.indrelid
  where c.relnamespace = to_regnamespace(quote_ident(current_schema()))
    and c.relowner = to_regrole('iu_core_owner')::oid
    and not i.indisvalid
) as invalid;

with
  newest as (
    select v.unit_id, count(*) as versions, max(v.version_seq) as version_seq
    from unit_version as v
    group by v.unit_id
  ),
  apart as (
    select u.unit_code
    from information_unit as u
    left join newest on newest.unit_id = u.id
    left join unit_version as v on v.unit_id = u.id
      and v.version_seq = newest.version_seq
    where u.head_version_seq <> coalesce(newest.version_seq, 0)
      or u.head_version_seq <> coalesce(newest.versions, 0)
      or u.head_sha256 is distinct from v.content_sha256
  )
select
  'B11 versions have no gap' as check_id,
  case when count(*) = 0 then 'pass' else 'fail' end as verdict,
  coalesce(format('%s units whose head and versions disagree, for instance ', nullif(count(*), 0)) || min(apart.unit_code),
    'every unit''s head is its newest version, numbered from 1 without gaps') as detail
from apart;

with
  silent as (
    select u.unit_code || ' version ' || v.version_seq as version
    from unit_version as v
    join information_unit as u on u.id = v.unit_id
    where v.version_seq > 1
      and v.created_at >= fn_iu_retention_retired_until()
      and not exists (
        select 1
        from event_outbox as e
        where e.subject_ref = v.id
          and e.event_domain = 'iu'
          and e.event_type = 'version_applied'
      )
  )
select
  'B12 each later version has its event' as check_id,
  case when count(*) = 0 then 'pass' else 'fail' end as verdict,
  coalesce(format('%s versions without an event, for instance ', nullif(count(*), 0)) || min(silent.version),
    'every version after the first emitted version_applied') as detail
from silent;
