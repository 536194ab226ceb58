-- does:      tells whether the base of IU Core may be installed here, or stands here already as this package made it.
-- called by: macro iu-core-base, step mandatory-gates.
-- locks:     none (catalog reads).
-- raises:    nothing; reports G1 to G9.

select
  'G1 server version' as check_id,
  case when current_setting('server_version_num')::integer >= 150000 then 'pass' else 'fail' end as verdict,
  format('PostgreSQL %s; 15 or newer is needed', current_setting('server_version')) as detail
union all
select
  'G2 primary',
  case when pg_is_in_recovery() or current_setting('default_transaction_read_only')::boolean then 'fail' else 'pass' end,
  format('standby: %s; default_transaction_read_only: %s',
    pg_is_in_recovery(), current_setting('default_transaction_read_only'))
union all
select
  'G3 encoding',
  case when pg_encoding_to_char(d.encoding) = 'UTF8' then 'pass' else 'fail' end,
  format('database encoding %s; digests of texts need UTF8', pg_encoding_to_char(d.encoding))
from pg_database as d
where d.datname = current_database()
union all
select
  'G4 schema',
  case
    when coalesce(current_schema(), 'pg_temp') ~ '^pg_temp' then 'fail'
    when has_schema_privilege(current_schema(), 'create with grant option')
      or (
        to_regrole('iu_core_owner') is not null
        and has_schema_privilege(current_schema(), 'create')
        and has_schema_privilege(to_regrole('iu_core_owner')::oid, current_schema(), 'create')
      )
    then 'pass'
    else 'fail'
  end,
  format('%s must be able to create in schema %s and let iu_core_owner do so',
    current_user, coalesce(nullif(current_schema(), pg_my_temp_schema()::regnamespace::text), '(which does not exist)'));

with
  wanted (role_name) as (
    values ('iu_core_owner'), ('iu_core_emitter'), ('iu_core_worker'), ('iu_core_operator'), ('iu_core_auditor')
  ),
  met as (
    select
      r.rolsuper,
      r.rolsuper or r.rolcreaterole as creates_roles,
      (select count(*) from wanted where to_regrole(wanted.role_name) is null) as absent,
      r.rolsuper
        or to_regrole('iu_core_owner') is null
        or pg_has_role(r.oid, to_regrole('iu_core_owner'), 'usage')
        or pg_has_role(r.oid, to_regrole('iu_core_owner'), 'member with admin option')
        or (r.rolcreaterole and current_setting('server_version_num')::integer < 160000) as acts_as_owner
    from pg_roles as r
    where r.rolname = current_user
  )
select
  'G5 roles' as check_id,
  case when (met.absent = 0 or met.creates_roles) and met.acts_as_owner then 'pass' else 'fail' end as verdict,
  format('%s of 5 roles are missing; %s may create roles: %s; may act as iu_core_owner: %s',
    met.absent, current_user, met.creates_roles, met.acts_as_owner) as detail
from met
union all
select
  'G6 roles are not logins',
  case when count(*) = 0 then 'pass' else 'fail' end,
  coalesce('can log in, or have power of their own: ' || string_agg(r.rolname, ', ' order by r.rolname),
    'no role of this name has a login or power of its own')
from pg_roles as r
join wanted on wanted.role_name = r.rolname
where r.rolcanlogin
  or r.rolsuper
  or r.rolcreaterole
  or r.rolcreatedb
  or r.rolreplication
  or r.rolbypassrls;

with
  named as (
    select format('%s %s', case c.relkind when 'v' then 'view' when 'S' then 'sequence' else 'relation' end, c.relname)
        as object,
      c.relowner as owner
    from pg_class as c
    where c.relnamespace = to_regnamespace(quote_ident(current_schema()))
      and c.relkind not in ('i', 'I')
      and (c.relname in ('dot_config', 'information_unit', 'unit_version') or c.relname ~ '^((v_)?iu_|event_outbox)')
    union all
    select 'function ' || p.oid::regprocedure, p.proowner
    from pg_proc as p
    where p.pronamespace = to_regnamespace(quote_ident(current_schema()))
      and p.proname ~ '^fn_iu_'
    union all
    select 'type ' || t.typname, t.typowner
    from pg_type as t
    where t.typnamespace = to_regnamespace(quote_ident(current_schema()))
      and t.typrelid = 0
      and t.typname in ('dot_config', 'event_outbox', 'information_unit', 'unit_version')
  )
select
  'G7 names are free' as check_id,
  case when count(*) = 0 then 'pass' else 'fail' end as verdict,
  coalesce('not of this package: ' || string_agg(format('%s (owner %s)', named.object, named.owner::regrole), ', '
      order by named.object), 'no foreign object holds a name of IU Core') as detail
from named
where named.owner is distinct from to_regrole('iu_core_owner')::oid;

with
  installed (migration, present) as (
    values
      (1, to_regclass('dot_config') is not null),
      (2, to_regclass('event_outbox') is not null),
      (3, to_regprocedure('fn_iu_emit_event(text,text,text,uuid,jsonb,text)') is not null),
      (4, to_regclass('unit_version') is not null),
      (5, to_regclass('iu_tree_path') is not null),
      (6, to_regclass('iu_structure_operation') is not null),
      (7, to_regclass('iu_sql_link') is not null),
      (8, to_regclass('iu_route_worker_cursor') is not null)
  ),
  gaps as (
    select installed.migration
    from installed
    where not installed.present
      and exists (
        select 1
        from installed as later
        where later.migration > installed.migration
          and later.present
      )
  )
select
  'G8 no gap' as check_id,
  case when count(*) = 0 then 'pass' else 'fail' end as verdict,
  coalesce('missing below an installed one: '
      || string_agg(to_char(gaps.migration, 'FM000'), ', ' order by gaps.migration),
    'what is installed is installed in order') as detail
from gaps;

select
  'G9 triggers fire' as check_id,
  case when current_setting('session_replication_role') = 'origin' then 'pass' else 'fail' end as verdict,
  format('session_replication_role is %s; ordinary triggers fire only under origin',
    current_setting('session_replication_role')) as detail;
