-- does:      removes information units and their versions, as migration 004 found the schema.
-- called by: the rollback of macro iu-core-base.
-- locks:     ACCESS EXCLUSIVE on both tables, taken before the count, so no unit arrives behind it.
-- raises:    SL001 while any unit exists; dependent_objects_still_exist while 005 to 007 are installed.

lock table information_unit, unit_version in access exclusive mode;

do $$
declare
  v_units bigint;
begin
  select count(*)
  into v_units
  from information_unit;
  if v_units > 0 then
    raise exception using
      errcode = 'SL001',
      message = format('%s information units exist; removing their tables would destroy them', v_units),
      hint = 'Units are history and are never deleted. Nothing was changed; use the disable runbook.';
  end if;
end
$$;

drop function fn_iu_add_version(text, text, text, jsonb);
drop function fn_iu_create_unit(text, text, text, text, jsonb, text);
drop table unit_version;
drop table information_unit;
drop function fn_iu_out_version();
drop function fn_iu_version_in_sequence();
