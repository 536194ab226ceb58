-- does:      installs the links between units and SQL objects, with a function that accepts only objects that exist and a
--            view that shows which still do.
-- called by: macro iu-core-base.
-- locks:     creates only; nothing that exists is touched.
-- raises:    duplicate_table, duplicate_function where foreign objects hold these names.

create function fn_iu_sql_object_exists(p_object_kind text, p_object_identity text)
  returns boolean
  language plpgsql
  stable
  set search_path from current
as $$
-- does: tells whether an object of this kind is found under this identity; called by: fn_iu_link_sql_object and
--       v_iu_sql_link_status; locks: none; raises: nothing; an identity that cannot be read names nothing.
begin
  return case
    when p_object_kind in ('function', 'procedure') then
      exists (
        select 1
        from pg_proc
        where pg_proc.oid = to_regprocedure(p_object_identity)
          and pg_proc.prokind = case p_object_kind when 'function' then 'f' else 'p' end
      )
    when p_object_kind in ('table', 'view', 'materialized_view') then
      exists (
        select 1
        from pg_class
        where pg_class.oid = to_regclass(p_object_identity)
          and pg_class.relkind = any (
            case p_object_kind when 'table' then '{r,p}'::"char"[] when 'view' then '{v}' else '{m}' end)
      )
    else false
  end;
exception
  when invalid_name or syntax_error or feature_not_supported or invalid_text_representation then
    return false;
end
$$;
comment on function fn_iu_sql_object_exists(text, text) is
  'Layer structure. Whether a table, view, materialized_view, function or procedure exists under an identity such as public.fn_x(text).';

create table iu_sql_link (
  id uuid primary key default fn_iu_uuid_v7(),
  unit_id uuid not null references information_unit,
  object_kind text not null,
  object_identity text collate "C" not null,
  created_by text not null,
  created_at timestamptz not null default clock_timestamp(),
  constraint link_is_said_once unique (unit_id, object_kind, object_identity),
  constraint object_kind_is_known
    check (object_kind in ('table', 'view', 'materialized_view', 'function', 'procedure')),
  constraint object_identity_is_named check (object_identity ~ '\S'),
  constraint created_by_is_named check (created_by ~ '\S')
);
create index iu_sql_link_of_an_object on iu_sql_link (object_identity, object_kind);
comment on table iu_sql_link is 'Layer structure. Which SQL objects a unit describes. Names, not oids, so that a link survives dump and restore.';
comment on column iu_sql_link.id is 'Identity, uuid v7.';
comment on column iu_sql_link.unit_id is 'The unit.';
comment on column iu_sql_link.object_kind is 'Kind of the object.';
comment on column iu_sql_link.object_identity is 'Name with its schema, for instance public.fn_x(text).';
comment on column iu_sql_link.created_by is 'Who linked it, as claimed by the caller.';
comment on column iu_sql_link.created_at is 'When.';

create function fn_iu_link_sql_object(
  p_unit_code text,
  p_object_kind text,
  p_object_identity text,
  p_actor text
)
  returns uuid
  language plpgsql
  security definer
  set search_path from current
as $$
-- does: links a unit to a SQL object that exists and returns the link's id; the same link again returns the same id.
-- called by: producers with role iu_core_emitter.
-- locks: the link's row.
-- raises: no_data_found for an address without a unit; undefined_object for an object that is not there.
declare
  v_unit_id uuid;
  v_link_id uuid;
begin
  select information_unit.id
  into v_unit_id
  from information_unit
  where information_unit.unit_code = p_unit_code;
  if not found then
    raise exception using
      errcode = 'no_data_found',
      message = format('there is no unit with the address %s', p_unit_code),
      hint = 'Create it with fn_iu_create_unit. Nothing was changed.';
  end if;
  if fn_iu_sql_object_exists(p_object_kind, p_object_identity) is not true then
    raise exception using
      errcode = 'undefined_object',
      message = format('there is no %s %s', p_object_kind, p_object_identity),
      hint = 'Name the object with its schema, a function with its argument types. Nothing was changed.';
  end if;

  insert into iu_sql_link (unit_id, object_kind, object_identity, created_by)
  values (v_unit_id, p_object_kind, p_object_identity, p_actor)
  on conflict (unit_id, object_kind, object_identity) do nothing
  returning iu_sql_link.id into v_link_id;
  if v_link_id is null then
    select iu_sql_link.id
    into v_link_id
    from iu_sql_link
    where iu_sql_link.unit_id = v_unit_id
      and iu_sql_link.object_kind = p_object_kind
      and iu_sql_link.object_identity = p_object_identity;
  end if;
  return v_link_id;
end
$$;
comment on function fn_iu_link_sql_object(text, text, text, text) is
  'Layer structure. Links a unit to an existing SQL object and returns the link''s id.';

create view v_iu_sql_link_status as
select
  unit.unit_code,
  link.object_kind,
  link.object_identity,
  fn_iu_sql_object_exists(link.object_kind, link.object_identity) as object_exists
from iu_sql_link as link
join information_unit as unit on unit.id = link.unit_id;
comment on view v_iu_sql_link_status is 'Layer structure. Each link with whether its SQL object still exists.';
comment on column v_iu_sql_link_status.unit_code is 'Address of the unit.';
comment on column v_iu_sql_link_status.object_kind is 'Kind of the object.';
comment on column v_iu_sql_link_status.object_identity is 'Name of the object.';
comment on column v_iu_sql_link_status.object_exists is 'False where the object was dropped or renamed since.';

alter table iu_sql_link owner to iu_core_owner;
alter view v_iu_sql_link_status owner to iu_core_owner;
alter function fn_iu_sql_object_exists(text, text) owner to iu_core_owner;
alter function fn_iu_link_sql_object(text, text, text, text) owner to iu_core_owner;

revoke all on table iu_sql_link, v_iu_sql_link_status from public;
revoke all on function fn_iu_sql_object_exists(text, text) from public;
revoke all on function fn_iu_link_sql_object(text, text, text, text) from public;
grant select on table iu_sql_link, v_iu_sql_link_status to iu_core_operator, iu_core_auditor;
grant execute on function fn_iu_sql_object_exists(text, text) to iu_core_operator, iu_core_auditor;
grant execute on function fn_iu_link_sql_object(text, text, text, text) to iu_core_emitter;
