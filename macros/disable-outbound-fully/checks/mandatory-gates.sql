-- does:      tells whether routes and triggers can be switched off, and back on without a loss: T1 and T2.
-- called by: macro disable-outbound-fully, step mandatory-gates.
-- locks:     none.
-- raises:    nothing; what is missing is a failing check.

with
  emitting as (
    select
      c.relname as relation,
      t.tgname as trigger_name,
      c.relowner as owner
    from pg_trigger as t
    join pg_class as c on c.oid = t.tgrelid
    join pg_namespace as n on n.oid = c.relnamespace
    where n.nspname = current_schema()
      and starts_with(t.tgname, 'trg_iu_out_')
      and not t.tgisinternal
  )
select
  'T1 rights' as check_id,
  case
    when has_table_privilege(to_regclass('iu_outbound_route')::oid, 'update')
      and not exists (
        select
        from emitting
        where not pg_has_role(emitting.owner, 'usage')
      ) then 'pass'
    else 'fail'
  end as verdict,
  format('%s may change routes: %s; triggers of tables that it may not alter: %s',
    current_user,
    coalesce(has_table_privilege(to_regclass('iu_outbound_route')::oid, 'update')::text, 'no such table'),
    coalesce(
      (
        select string_agg(format('%s on %s', emitting.trigger_name, emitting.relation), ', ')
        from emitting
        where not pg_has_role(emitting.owner, 'usage')
      ),
      'none')) as detail
union all
select
  'T2 what is missed can be written',
  case when count(*) filter (where not known.is_known) = 0 then 'pass' else 'fail' end,
  coalesce(
    'no way back knows what these would have written: '
      || string_agg(known.named, ', ') filter (where not known.is_known),
    format('%s emitting triggers, each known to the way back of L3', count(*)))
from (
  select
    (emitting.relation, emitting.trigger_name) = ('unit_version', 'trg_iu_out_version') as is_known,
    format('%s on %s', emitting.trigger_name, emitting.relation) as named
  from emitting
) as known;
