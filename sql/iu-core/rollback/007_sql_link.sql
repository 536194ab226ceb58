-- does:      removes the links between units and SQL objects, as migration 007 found the schema.
-- called by: the rollback of macro iu-core-base.
-- locks:     ACCESS EXCLUSIVE on the table, taken before the count.
-- raises:    SL001 while a link exists.

lock table iu_sql_link in access exclusive mode;

do $$
declare
  v_links bigint;
begin
  select count(*)
  into v_links
  from iu_sql_link;
  if v_links > 0 then
    raise exception using
      errcode = 'SL001',
      message = format('%s links between units and SQL objects exist; removing the table would destroy them', v_links),
      hint = 'Remove the links on purpose first. Nothing was changed.';
  end if;
end
$$;

drop view v_iu_sql_link_status;
drop function fn_iu_link_sql_object(text, text, text, text);
drop table iu_sql_link;
drop function fn_iu_sql_object_exists(text, text);
