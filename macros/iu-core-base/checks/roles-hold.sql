-- does:      tells whether the five roles stand and may use the schema, and whether this user may act as their owner.
-- called by: macro iu-core-base, before step install-roles.
-- locks:     none (catalog reads).
-- raises:    nothing.

with
  wanted (role_name, privilege) as (
    values
      ('iu_core_owner', 'create'),
      ('iu_core_emitter', 'usage'),
      ('iu_core_worker', 'usage'),
      ('iu_core_operator', 'usage'),
      ('iu_core_auditor', 'usage')
  ),
  met as (
    select
      wanted.role_name,
      to_regrole(wanted.role_name) is not null
        and coalesce(
          has_schema_privilege(to_regrole(wanted.role_name)::oid, current_schema(), wanted.privilege), false
        ) as stands
    from wanted
  )
select
  'roles hold' as check_id,
  case
    when bool_and(met.stands) and pg_has_role(current_user, to_regrole('iu_core_owner')::oid, 'usage') then 'pass'
    else 'fail'
  end as verdict,
  coalesce('missing, or without the schema: '
      || string_agg(met.role_name, ', ' order by met.role_name) filter (where not met.stands),
    'five roles stand') as detail
from met;
