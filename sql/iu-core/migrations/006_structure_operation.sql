-- does:      installs the record of structure operations, its envelope plan -> apply -> verify -> rollback, and the gate
--            that keeps them planned. The functions that carry operations out come with a later migration.
-- called by: macro iu-core-base.
-- locks:     creates only; one row is added to dot_config.
-- raises:    duplicate_table where foreign objects hold these names; unique_violation where the gate exists already.

create table iu_structure_operation_kind (
  operation_kind text primary key,
  meaning text not null,
  constraint operation_kind_is_a_name check (operation_kind ~ '^[a-z][a-z0-9_]*$')
);
comment on table iu_structure_operation_kind is 'Layer structure. Kinds a structure operation may have; a new kind is a row, not a change of code.';
comment on column iu_structure_operation_kind.operation_kind is 'Name of the kind.';
comment on column iu_structure_operation_kind.meaning is 'What the operation does.';
insert into iu_structure_operation_kind (operation_kind, meaning)
values
  ('reparent', 'nests a unit in another parent'),
  ('deprecate_piece', 'takes a unit out of use and keeps it'),
  ('split', 'cuts one unit into several'),
  ('merge', 'joins several units into one'),
  ('replace', 'puts one unit in the place of another');

create table iu_structure_operation (
  id uuid primary key default fn_iu_uuid_v7(),
  operation_kind text not null references iu_structure_operation_kind,
  unit_id uuid not null references information_unit,
  status text not null default 'planned',
  plan_payload jsonb not null,
  planned_by text not null,
  planned_at timestamptz not null default clock_timestamp(),
  apply_payload jsonb,
  applied_by text,
  applied_at timestamptz,
  verify_payload jsonb,
  verified_by text,
  verified_at timestamptz,
  rollback_payload jsonb,
  rolled_back_by text,
  rolled_back_at timestamptz,
  constraint status_is_known check (status in ('planned', 'enacted', 'rolled_back')),
  constraint a_planned_operation_was_not_applied check ((status = 'planned') = (applied_at is null)),
  constraint a_rolled_back_operation_says_when check ((status = 'rolled_back') = (rolled_back_at is not null)),
  constraint only_an_applied_operation_is_verified check (verified_at is null or verified_at >= applied_at),
  constraint an_apply_names_its_actor check ((applied_at is null) = (applied_by is null)),
  constraint a_verify_names_its_actor check ((verified_at is null) = (verified_by is null)),
  constraint a_rollback_names_its_actor check ((rolled_back_at is null) = (rolled_back_by is null)),
  constraint plan_payload_is_an_object check (jsonb_typeof(plan_payload) = 'object'),
  constraint planned_by_is_named check (planned_by ~ '\S')
);
create index iu_structure_operation_of_a_unit on iu_structure_operation (unit_id);
create index iu_structure_operation_planned on iu_structure_operation (planned_at) where status = 'planned';
comment on table iu_structure_operation is
  'Layer structure. One row for each operation on the structure of units; a dry run leaves it planned, an apply makes it enacted.';
comment on column iu_structure_operation.id is 'Identity, uuid v7; the subject of the event that the operation emits.';
comment on column iu_structure_operation.operation_kind is 'Kind.';
comment on column iu_structure_operation.unit_id is 'The unit it is about; further ones stand in the payload.';
comment on column iu_structure_operation.status is 'planned; enacted; rolled_back. Moves in this order only.';
comment on column iu_structure_operation.plan_payload is 'What is to be done, fixed when it was planned.';
comment on column iu_structure_operation.planned_by is 'Who planned it, as claimed by the caller.';
comment on column iu_structure_operation.planned_at is 'When it was planned.';
comment on column iu_structure_operation.apply_payload is 'What was done, with what is needed to take it back.';
comment on column iu_structure_operation.applied_by is 'Who applied it, as claimed by the caller.';
comment on column iu_structure_operation.applied_at is 'When it was applied; null while it is planned.';
comment on column iu_structure_operation.verify_payload is 'What the verification saw.';
comment on column iu_structure_operation.verified_by is 'Who verified it, as claimed by the caller.';
comment on column iu_structure_operation.verified_at is 'When it was verified; null before.';
comment on column iu_structure_operation.rollback_payload is 'What was taken back.';
comment on column iu_structure_operation.rolled_back_by is 'Who rolled it back, as claimed by the caller.';
comment on column iu_structure_operation.rolled_back_at is 'When it was rolled back; null otherwise.';

create function fn_iu_structure_operation_guard()
  returns trigger
  language plpgsql
  security definer
  set search_path from current
as $$
-- does: keeps the envelope in order: planned first, then enacted (only through an open gate), then rolled_back; what a
--       phase recorded stays as it is. A rollback needs no gate.
-- called by: triggers of iu_structure_operation.
-- locks: none.
-- raises: SL004 for DELETE, TRUNCATE or a changed record; object_not_in_prerequisite_state for a step out of order or a
--         closed gate.
begin
  if tg_op in ('DELETE', 'TRUNCATE') then
    raise exception using
      errcode = 'SL004',
      message = format('structure operations are history; %s is refused', tg_op),
      hint = 'Roll the operation back instead. Nothing was changed.';
  end if;

  if tg_op = 'INSERT' then
    if new.status <> 'planned' then
      raise exception using
        errcode = 'object_not_in_prerequisite_state',
        message = format('a structure operation begins as planned, not as %s', new.status),
        hint = 'Plan it first. Nothing was changed.';
    end if;
    return new;
  end if;

  if (new.id, new.operation_kind, new.unit_id, new.plan_payload, new.planned_by, new.planned_at)
      is distinct from (old.id, old.operation_kind, old.unit_id, old.plan_payload, old.planned_by, old.planned_at)
    or (old.applied_at is not null
      and (new.apply_payload, new.applied_by, new.applied_at)
        is distinct from (old.apply_payload, old.applied_by, old.applied_at))
    or old.status = 'rolled_back'
  then
    raise exception using
      errcode = 'SL004',
      message = format('what was recorded of structure operation %s does not change', old.id),
      hint = 'Plan another operation. Nothing was changed.';
  end if;

  if new.status <> old.status and (old.status, new.status) not in (('planned', 'enacted'), ('enacted', 'rolled_back')) then
    raise exception using
      errcode = 'object_not_in_prerequisite_state',
      message = format('structure operation %s is %s and cannot become %s', old.id, old.status, new.status),
      hint = 'The order is planned, enacted, rolled_back. Nothing was changed.';
  end if;

  if old.status = 'planned' and new.status = 'enacted' then
    if fn_iu_gate_open('iu_core.structure_ops_enabled') is true then
      return new;
    end if;
    raise exception using
      errcode = 'object_not_in_prerequisite_state',
      message = format('gate iu_core.structure_ops_enabled is closed; structure operation %s stays planned', old.id),
      hint = 'Open the gate by its macro. Nothing was changed.';
  end if;
  return new;
end
$$;
comment on function fn_iu_structure_operation_guard() is
  'Layer structure. Trigger: operations move planned, enacted, rolled_back; enacting needs the open gate; records stay.';

create trigger trg_iu_structure_operation_guard
  before insert or update or delete on iu_structure_operation
  for each row execute function fn_iu_structure_operation_guard();
create trigger trg_iu_structure_operation_no_truncate
  before truncate on iu_structure_operation
  for each statement execute function fn_iu_structure_operation_guard();
alter table iu_structure_operation enable always trigger trg_iu_structure_operation_guard;
alter table iu_structure_operation enable always trigger trg_iu_structure_operation_no_truncate;

insert into dot_config (key, value)
values ('iu_core.structure_ops_enabled', 'false');

alter table iu_structure_operation_kind owner to iu_core_owner;
alter table iu_structure_operation owner to iu_core_owner;
alter function fn_iu_structure_operation_guard() owner to iu_core_owner;

revoke all on table iu_structure_operation_kind, iu_structure_operation from public;
revoke all on function fn_iu_structure_operation_guard() from public;
grant select on table iu_structure_operation_kind, iu_structure_operation to iu_core_operator, iu_core_auditor;
