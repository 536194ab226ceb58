-- does:      installs the tree of units (parent and materialised path), the relations between units, and the import of
--            a document as a set of units.
-- called by: macro iu-core-base.
-- locks:     creates only; nothing that exists is touched.
-- raises:    duplicate_table, duplicate_function where foreign objects hold these names.

create table iu_tree_path (
  unit_id uuid primary key references information_unit,
  parent_unit_id uuid references iu_tree_path,
  label text collate "C" not null,
  position integer not null default 1,
  path text collate "C" not null,
  depth integer not null,
  constraint label_is_one_step check (label ~ '\S' and label !~ '>'),
  constraint position_is_positive check (position >= 1),
  constraint path_is_unique unique (path),
  constraint path_fits_its_index check (octet_length(path) <= 2600),
  constraint path_ends_in_its_label check (right(path, length(label)) = label),
  constraint a_root_has_depth_zero check ((parent_unit_id is null) = (depth = 0)),
  constraint a_unit_is_not_its_own_parent check (parent_unit_id <> unit_id)
);
create index iu_tree_path_children on iu_tree_path (parent_unit_id, position);
comment on table iu_tree_path is 'Layer structure. Place of each unit in the tree; path and depth are derived, never written by hand.';
comment on column iu_tree_path.unit_id is 'The unit.';
comment on column iu_tree_path.parent_unit_id is 'The unit it is nested in; null for a root.';
comment on column iu_tree_path.label is 'Its own step of the path; for a root the address of the unit.';
comment on column iu_tree_path.position is 'Order among its siblings, from 1; gaps and ties are allowed.';
comment on column iu_tree_path.path is
  'Labels from the root, joined by >. The units below one are those with path >= its path || ''>'' and < its path || ''?''.';
comment on column iu_tree_path.depth is 'How many units it is nested in.';

create function fn_iu_tree_path_derive()
  returns trigger
  language plpgsql
  security definer
  set search_path from current
as $$
-- does: derives path and depth from the parent and the label; called by: trigger trg_iu_tree_path_derive.
-- locks: the parent's row for share, so its path stays until the transaction ends.
-- raises: check_violation when a unit would be nested in itself.
declare
  v_parent iu_tree_path;
begin
  if new.parent_unit_id is null then
    new.path := new.label;
    new.depth := 0;
    return new;
  end if;

  select *
  into v_parent
  from iu_tree_path
  where iu_tree_path.unit_id = new.parent_unit_id
  for share;

  if tg_op = 'UPDATE' and (v_parent.path = old.path or starts_with(v_parent.path, old.path || '>')) then
    raise exception using
      errcode = 'check_violation',
      message = format('unit %s cannot be nested in %s, which is below it', old.path, v_parent.path),
      hint = 'Choose a parent outside of the unit. Nothing was changed.';
  end if;
  new.path := coalesce(v_parent.path || '>', '') || new.label;
  new.depth := coalesce(v_parent.depth, 0) + 1;
  return new;
end
$$;
comment on function fn_iu_tree_path_derive() is 'Layer structure. Trigger: derives path and depth; refuses a cycle.';

create function fn_iu_tree_path_carry_down()
  returns trigger
  language plpgsql
  security definer
  set search_path from current
as $$
-- does: lets the units below follow a path that changed; called by: trigger trg_iu_tree_path_carry_down.
-- locks: the rows below; raises: nothing of its own.
begin
  update iu_tree_path
  set depth = new.depth + 1
  where iu_tree_path.parent_unit_id = new.unit_id;
  return null;
end
$$;
comment on function fn_iu_tree_path_carry_down() is 'Layer structure. Trigger: a changed path is carried down to every unit below.';

create trigger trg_iu_tree_path_derive
  before insert or update on iu_tree_path
  for each row execute function fn_iu_tree_path_derive();
create trigger trg_iu_tree_path_carry_down
  after update on iu_tree_path
  for each row
  when (old.path <> new.path)
  execute function fn_iu_tree_path_carry_down();
alter table iu_tree_path enable always trigger trg_iu_tree_path_derive;
alter table iu_tree_path enable always trigger trg_iu_tree_path_carry_down;

create table iu_relation_kind (
  relation_kind text primary key,
  meaning text not null,
  constraint relation_kind_is_a_name check (relation_kind ~ '^[a-z][a-z0-9_]*$')
);
comment on table iu_relation_kind is 'Layer structure. Kinds a relation may have; a new kind is a row, not a change of code.';
comment on column iu_relation_kind.relation_kind is 'Name of the kind.';
comment on column iu_relation_kind.meaning is 'What it says of the two units, read from left to right.';
insert into iu_relation_kind (relation_kind, meaning)
values
  ('refers_to', 'the first unit names the second'),
  ('replaces', 'the first unit took the place of the second'),
  ('split_from', 'the first unit is a part that was cut out of the second'),
  ('merged_from', 'the text of the second unit went into the first');

create table iu_relation (
  id uuid primary key default fn_iu_uuid_v7(),
  from_unit_id uuid not null references information_unit,
  to_unit_id uuid not null references information_unit,
  relation_kind text not null references iu_relation_kind,
  created_by text not null,
  created_at timestamptz not null default clock_timestamp(),
  constraint relation_is_said_once unique (from_unit_id, to_unit_id, relation_kind),
  constraint a_relation_has_two_units check (from_unit_id <> to_unit_id),
  constraint created_by_is_named check (created_by ~ '\S')
);
create index iu_relation_to on iu_relation (to_unit_id, relation_kind);
comment on table iu_relation is 'Layer structure. What two units are to each other, apart from the tree.';
comment on column iu_relation.id is 'Identity, uuid v7.';
comment on column iu_relation.from_unit_id is 'The first unit.';
comment on column iu_relation.to_unit_id is 'The second unit.';
comment on column iu_relation.relation_kind is 'Kind, read from the first unit to the second.';
comment on column iu_relation.created_by is 'Who said so, as claimed by the caller.';
comment on column iu_relation.created_at is 'When.';

create function fn_iu_import_document(
  p_document text,
  p_sections jsonb,
  p_actor text,
  p_source jsonb default '{}',
  out created integer,
  out versions_added integer,
  out unchanged integer,
  out events integer
)
  language plpgsql
  security definer
  set search_path from current
as $$
-- does: brings a document's sections in as one set: new addresses become draft units with version 1 and their place in
--       the tree, changed texts become versions, equal texts add nothing. A unit that already has a place keeps it (it
--       may have been moved on purpose); its order follows the document while its parent is the document's. Sections
--       that are gone are left alone (fn_iu_missing_units lists them).
--       p_sections: [{code, parent, label, title, body, position, source}], parents before what is nested in them.
-- called by: `sluice iu import`, one call for each file.
-- locks: the units of the document in the order of their addresses, so two imports of one document cannot deadlock.
-- raises: check_violation where an address occurs twice or a field is empty.
declare
  v_repeated text;
  v_version_ids uuid[];
  v_epoch integer;
begin
  select given.code
  into v_repeated
  from jsonb_to_recordset(p_sections) as given (code text)
  group by given.code
  having count(*) > 1
  limit 1;
  if found then
    raise exception using
      errcode = 'check_violation',
      message = format('address %s occurs twice in document %s', v_repeated, p_document),
      hint = 'Each section needs an address of its own. Nothing of the document was imported.';
  end if;

  insert into information_unit (unit_code, document, title, created_by)
  select given.code, p_document, given.title, p_actor
  from jsonb_to_recordset(p_sections) as given (code text, title text)
  order by given.code collate "C"
  on conflict (unit_code) do nothing;

  perform 1
  from information_unit as unit
  join jsonb_to_recordset(p_sections) as given (code text) on unit.unit_code = given.code
  order by unit.unit_code
  for no key update of unit;

  insert into iu_tree_path (unit_id, parent_unit_id, label, position)
  select unit.id, parent.id, given.label, given.position
  from jsonb_to_recordset(p_sections) as given (code text, parent text, label text, position integer)
  join information_unit as unit on unit.unit_code = given.code
  left join information_unit as parent on parent.unit_code = given.parent
  where not exists (
    select 1
    from iu_tree_path
    where iu_tree_path.unit_id = unit.id
  )
  order by given.position;

  update iu_tree_path
  set position = given.position
  from jsonb_to_recordset(p_sections) as given (code text, parent text, position integer)
  join information_unit as unit on unit.unit_code = given.code
  left join information_unit as parent on parent.unit_code = given.parent
  where iu_tree_path.unit_id = unit.id
    and iu_tree_path.parent_unit_id is not distinct from parent.id
    and iu_tree_path.position <> given.position;

  update information_unit
  set title = given.title
  from jsonb_to_recordset(p_sections) as given (code text, title text)
  where information_unit.unit_code = given.code
    and information_unit.title <> given.title;

  with
    changed as (
      select unit.id, given.body, given.source, given.position
      from jsonb_to_recordset(p_sections) as given (code text, body text, source jsonb, position integer)
      join information_unit as unit on unit.unit_code = given.code
      where unit.head_sha256 is distinct from encode(sha256(convert_to(given.body, 'UTF8')), 'hex')
    ),
    recorded as (
      insert into unit_version (unit_id, body, source, created_by)
      select changed.id, changed.body, coalesce(p_source, '{}') || coalesce(changed.source, '{}'), p_actor
      from changed
      order by changed.position
      returning unit_version.id, unit_version.version_seq
    )
  select
    count(*) filter (where recorded.version_seq = 1),
    count(*) filter (where recorded.version_seq > 1),
    jsonb_array_length(p_sections) - count(*),
    array_agg(recorded.id) filter (where recorded.version_seq > 1)
  into created, versions_added, unchanged, v_version_ids
  from recorded;

  v_epoch := fn_iu_outbox_epoch();
  select count(*)
  into events
  from event_outbox
  where event_outbox.epoch = v_epoch
    and event_outbox.xact_id = pg_current_xact_id()
    and event_outbox.subject_ref = any (v_version_ids);
end
$$;
comment on function fn_iu_import_document(text, jsonb, text, jsonb) is
  'Layer content. Imports a document''s sections as units and versions; returns how many were created, changed, unchanged, and how many events that emitted.';

create function fn_iu_missing_units(p_prefix text, p_present text[])
  returns table (unit_code text, document text)
  language sql
  stable
  security definer
  set search_path from current
as $$
-- does: lists live units of the documents under a prefix whose address is not among the given ones; '' means every
--       document. called by: `sluice iu import`, once at its end; locks: none; raises: nothing of its own.
select unit.unit_code, unit.document
from information_unit as unit
where unit.document is not null
  and unit.lifecycle_status in ('draft', 'enacted')
  and (p_prefix = '' or (unit.document >= p_prefix || '/' and unit.document < p_prefix || '0'))
  and not exists (
    select 1
    from unnest(p_present) as present (code)
    where present.code = unit.unit_code
  )
order by unit.unit_code
$$;
comment on function fn_iu_missing_units(text, text[]) is
  'Layer content. Live units of the documents under a prefix that an import no longer found; nothing is removed.';

alter table iu_tree_path owner to iu_core_owner;
alter table iu_relation_kind owner to iu_core_owner;
alter table iu_relation owner to iu_core_owner;
alter function fn_iu_tree_path_derive() owner to iu_core_owner;
alter function fn_iu_tree_path_carry_down() owner to iu_core_owner;
alter function fn_iu_import_document(text, jsonb, text, jsonb) owner to iu_core_owner;
alter function fn_iu_missing_units(text, text[]) owner to iu_core_owner;

revoke all on table iu_tree_path, iu_relation_kind, iu_relation from public;
revoke all on function fn_iu_tree_path_derive() from public;
revoke all on function fn_iu_tree_path_carry_down() from public;
revoke all on function fn_iu_import_document(text, jsonb, text, jsonb) from public;
revoke all on function fn_iu_missing_units(text, text[]) from public;
grant select on table iu_tree_path, iu_relation_kind, iu_relation to iu_core_operator, iu_core_auditor;
grant execute on function fn_iu_import_document(text, jsonb, text, jsonb) to iu_core_emitter;
grant execute on function fn_iu_missing_units(text, text[]) to iu_core_emitter;
