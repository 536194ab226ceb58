-- does:      removes the unit tree, the relations and the import, as migration 005 found the schema.
-- called by: the rollback of macro iu-core-base.
-- locks:     ACCESS EXCLUSIVE on the tables, taken before the count.
-- raises:    SL001 while a unit has a place in the tree or a relation, or a kind was added.

lock table iu_tree_path, iu_relation, iu_relation_kind in access exclusive mode;

do $$
declare
  v_places bigint;
  v_relations bigint;
  v_added_kinds bigint;
begin
  select count(*)
  into v_places
  from iu_tree_path;
  select count(*)
  into v_relations
  from iu_relation;
  select count(*)
  into v_added_kinds
  from iu_relation_kind
  where iu_relation_kind.relation_kind not in ('refers_to', 'replaces', 'split_from', 'merged_from');
  if v_places + v_relations + v_added_kinds > 0 then
    raise exception using
      errcode = 'SL001',
      message = format(
        '%s places in the tree, %s relations and %s added relation kinds exist; removing their tables would destroy them',
        v_places, v_relations, v_added_kinds),
      hint = 'Structure is history. Nothing was changed; use the disable runbook.';
  end if;
end
$$;

drop function fn_iu_missing_units(text, text[]);
drop function fn_iu_import_document(text, jsonb, text, jsonb);
drop table iu_relation;
drop table iu_relation_kind;
drop table iu_tree_path;
drop function fn_iu_tree_path_carry_down();
drop function fn_iu_tree_path_derive();
