-- does:      removes the record of structure operations and its gate, as migration 006 found the schema.
-- called by: the rollback of macro iu-core-base.
-- locks:     ACCESS EXCLUSIVE on the tables, taken before the count.
-- raises:    SL001 while an operation exists, a kind was added, or the gate stands otherwise than it was installed.

lock table iu_structure_operation, iu_structure_operation_kind in access exclusive mode;

do $$
declare
  v_operations bigint;
  v_added_kinds bigint;
begin
  select count(*)
  into v_operations
  from iu_structure_operation;
  select count(*)
  into v_added_kinds
  from iu_structure_operation_kind
  where iu_structure_operation_kind.operation_kind not in ('reparent', 'deprecate_piece', 'split', 'merge', 'replace');
  if v_operations + v_added_kinds > 0 then
    raise exception using
      errcode = 'SL001',
      message = format(
        '%s structure operations and %s added operation kinds exist; removing their tables would destroy them',
        v_operations, v_added_kinds),
      hint = 'Operations are history. Nothing was changed; use the disable runbook.';
  end if;
  if not exists (
    select 1
    from dot_config
    where dot_config.key = 'iu_core.structure_ops_enabled'
      and dot_config.value = 'false'
  ) then
    raise exception using
      errcode = 'SL001',
      message = 'gate iu_core.structure_ops_enabled is not closed as it was installed',
      hint = 'Set it to false, then roll back again. Nothing was changed.';
  end if;
end
$$;

delete from dot_config
where dot_config.key = 'iu_core.structure_ops_enabled';

drop table iu_structure_operation;
drop table iu_structure_operation_kind;
drop function fn_iu_structure_operation_guard();
