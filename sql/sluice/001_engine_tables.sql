-- does:      installs the engine's own tables: pinned texts, plans, runs, receipts, controls, observations and the
--            hash-chained evidence that every one of them leaves.
-- called by: `sluice init` and planning, in one transaction, under an advisory lock.
-- locks:     creates only; nothing that exists is touched.
-- raises:    duplicate_schema where a schema `sluice` exists that this engine did not make.

create schema sluice;
comment on schema sluice is 'What the sluice engine keeps in a target: a receipt must commit together with its step.';

create table sluice.engine_version (
  version integer primary key,
  installed_at timestamptz not null default clock_timestamp(),
  constraint version_is_positive check (version > 0)
);
comment on table sluice.engine_version is 'Versions of the engine schema, one row each; the largest is the current one.';
comment on column sluice.engine_version.version is 'Number of the file in sql/sluice that was applied.';
comment on column sluice.engine_version.installed_at is 'When it was applied.';

create table sluice.script (
  sha256 text primary key,
  body text not null,
  stored_at timestamptz not null default clock_timestamp(),
  constraint sha256_is_of_the_body check (sha256 = encode(sha256(convert_to(body, 'UTF8')), 'hex'))
);
comment on table sluice.script is 'Texts that plans pin; a run executes these, never the disk.';
comment on column sluice.script.sha256 is 'Lower-case hex digest of the UTF-8 text.';
comment on column sluice.script.body is 'The text, exactly as it was read at planning.';
comment on column sluice.script.stored_at is 'When planning stored it first.';

create table sluice.plan (
  plan_hash text primary key,
  macro text not null,
  target text not null,
  canonical text not null,
  planned_by text not null,
  planned_at timestamptz not null default clock_timestamp(),
  constraint plan_hash_is_of_the_canonical_text check (plan_hash = encode(sha256(convert_to(canonical, 'UTF8')), 'hex'))
);
comment on table sluice.plan is 'Canonical plans; approval and run name one by its hash.';
comment on column sluice.plan.plan_hash is 'Lower-case hex sha256 of the canonical JSON.';
comment on column sluice.plan.macro is 'Name of the macro.';
comment on column sluice.plan.target is 'Name of the target the plan was made for.';
comment on column sluice.plan.canonical is 'Canonical JSON of the plan.';
comment on column sluice.plan.planned_by is 'Who planned it, as claimed.';
comment on column sluice.plan.planned_at is 'When it was planned first.';

create table sluice.run (
  run_id uuid primary key default gen_random_uuid(),
  run_no bigint generated always as identity unique,
  kind text not null,
  macro text not null,
  target text not null,
  plan_hash text not null references sluice.plan,
  undoes_run_id uuid references sluice.run,
  workflow_id text not null,
  temporal_run_id text not null,
  temporal_namespace text not null,
  temporal_address text not null,
  temporal_cluster_id text not null,
  actor text not null,
  temporal_identity text,
  reason text not null,
  ticket text,
  fingerprint text not null,
  started_at timestamptz not null default clock_timestamp(),
  finished_at timestamptz,
  outcome text,
  fingerprint_at_end text,
  cause text,
  left_to_do jsonb not null default '[]',
  constraint kind_is_known check (kind in ('forward', 'undo')),
  constraint an_undo_names_its_run check ((kind = 'undo') = (undoes_run_id is not null)),
  constraint outcome_is_known check (outcome in ('succeeded', 'rolled_back', 'disabled', 'needs_action')),
  constraint a_finished_run_has_an_outcome check ((finished_at is null) = (outcome is null))
);
create unique index run_one_unfinished on sluice.run ((true)) where finished_at is null;
create unique index run_of_a_temporal_run
  on sluice.run (temporal_cluster_id, temporal_namespace, workflow_id, temporal_run_id);
comment on table sluice.run is 'Macro runs and undo runs of this database; at most one is unfinished.';
comment on column sluice.run.run_id is 'Engine run id; receipts are keyed by it, not by Temporal''s run id.';
comment on column sluice.run.run_no is 'Number of the run in this database, as people say it.';
comment on column sluice.run.kind is 'forward: a macro; undo: the rollback of a run that had ended.';
comment on column sluice.run.macro is 'Name of the macro.';
comment on column sluice.run.target is 'Name of the target.';
comment on column sluice.run.plan_hash is 'The plan that runs.';
comment on column sluice.run.undoes_run_id is 'The run that an undo run takes back.';
comment on column sluice.run.workflow_id is 'Temporal workflow id.';
comment on column sluice.run.temporal_run_id is 'Temporal''s run id of the execution that opened the run.';
comment on column sluice.run.temporal_namespace is 'Temporal namespace of the execution.';
comment on column sluice.run.temporal_address is 'Address of that Temporal, as the worker reached it.';
comment on column sluice.run.temporal_cluster_id is 'Cluster id of that Temporal: the same namespace elsewhere is another one.';
comment on column sluice.run.actor is 'Who started it, as claimed.';
comment on column sluice.run.temporal_identity is 'Identity that Temporal recorded for the start.';
comment on column sluice.run.reason is 'Why, in the starter''s words.';
comment on column sluice.run.ticket is 'Ticket, if one was named.';
comment on column sluice.run.fingerprint is 'Database fingerprint at the start.';
comment on column sluice.run.started_at is 'When it was opened.';
comment on column sluice.run.finished_at is 'When it was closed; null while it runs.';
comment on column sluice.run.outcome is 'How it ended.';
comment on column sluice.run.fingerprint_at_end is 'Database fingerprint at the end.';
comment on column sluice.run.cause is 'Why it did not succeed; empty otherwise.';
comment on column sluice.run.left_to_do is 'What a person must finish: [{stepId, what, how}].';

create table sluice.step_receipt (
  run_id uuid not null references sluice.run,
  step_id text not null,
  part text not null default '',
  direction text not null,
  state text not null,
  kind text not null,
  verdict text not null,
  detail text not null,
  checks jsonb not null default '[]',
  facts jsonb not null default '{}',
  script_sha256 text references sluice.script,
  attempt integer not null,
  by_run_id uuid not null references sluice.run,
  started_at timestamptz not null,
  finished_at timestamptz not null default clock_timestamp(),
  primary key (run_id, step_id, part, direction),
  constraint direction_is_known check (direction in ('do', 'undo')),
  constraint state_is_known check (state in ('done', 'already_applied', 'voided', 'undone', 'refused')),
  constraint verdict_is_known check (verdict in ('pass', 'fail', 'inconclusive', 'not_run')),
  constraint attempt_is_positive check (attempt > 0)
);
comment on table sluice.step_receipt is 'Recorded result of a step, committed together with its effect; once per run, step, part and direction.';
comment on column sluice.step_receipt.run_id is 'The run whose step it is, also when an undo run writes it.';
comment on column sluice.step_receipt.step_id is 'Step of the plan.';
comment on column sluice.step_receipt.part is 'File of the step; empty for the step as a whole.';
comment on column sluice.step_receipt.direction is 'do or undo.';
comment on column sluice.step_receipt.state is 'done, already_applied; voided (an undo closed the slot, nothing may fill it); undone; refused.';
comment on column sluice.step_receipt.kind is 'Kind of the step.';
comment on column sluice.step_receipt.verdict is 'pass, fail, inconclusive, not_run.';
comment on column sluice.step_receipt.detail is 'One line for people.';
comment on column sluice.step_receipt.checks is 'Rows that the scripts reported: [{checkId, verdict, detail}].';
comment on column sluice.step_receipt.facts is 'Measured facts: bytes, digests, counts, locks held, statements.';
comment on column sluice.step_receipt.script_sha256 is 'The pinned text that was executed.';
comment on column sluice.step_receipt.attempt is 'Attempt of the activity that wrote it.';
comment on column sluice.step_receipt.by_run_id is 'The run that wrote it: the same run, or the undo run.';
comment on column sluice.step_receipt.started_at is 'When the attempt began.';
comment on column sluice.step_receipt.finished_at is 'When the receipt was written, just before COMMIT.';

create table sluice.step_intent (
  run_id uuid not null references sluice.run,
  step_id text not null,
  part text not null,
  invalid_indexes text[] not null default '{}',
  declared_at timestamptz not null default clock_timestamp(),
  primary key (run_id, step_id, part)
);
comment on table sluice.step_intent is 'Written before a file that cannot run in a transaction; its undo runs even without a receipt.';
comment on column sluice.step_intent.run_id is 'The run.';
comment on column sluice.step_intent.step_id is 'Step of the plan.';
comment on column sluice.step_intent.part is 'File of the step.';
comment on column sluice.step_intent.invalid_indexes is 'Invalid indexes that stood there before: not this file''s, so they are left alone.';
comment on column sluice.step_intent.declared_at is 'When the engine was about to execute it.';

create table sluice.step_failure (
  run_id uuid not null references sluice.run,
  failure_no bigint generated always as identity,
  step_id text not null,
  direction text not null,
  attempt integer not null,
  code text not null,
  message text not null,
  checks jsonb not null default '[]',
  by_run_id uuid not null references sluice.run,
  failed_at timestamptz not null default clock_timestamp(),
  primary key (run_id, failure_no),
  constraint direction_is_known check (direction in ('do', 'undo'))
);
comment on table sluice.step_failure is 'Attempts that failed, each in a transaction of its own after the failed one was rolled back.';
comment on column sluice.step_failure.run_id is 'The run whose step it is.';
comment on column sluice.step_failure.failure_no is 'Order.';
comment on column sluice.step_failure.step_id is 'Step of the plan.';
comment on column sluice.step_failure.direction is 'do or undo.';
comment on column sluice.step_failure.attempt is 'Attempt of the activity.';
comment on column sluice.step_failure.code is 'Error code of the engine.';
comment on column sluice.step_failure.message is 'What is true, what was expected, what is safe now.';
comment on column sluice.step_failure.checks is 'Rows that the scripts reported before it failed.';
comment on column sluice.step_failure.by_run_id is 'The run that tried it.';
comment on column sluice.step_failure.failed_at is 'When.';

create table sluice.control_action (
  run_id uuid not null references sluice.run,
  action_no bigint generated always as identity,
  step_id text,
  action text not null,
  actor text not null,
  temporal_identity text,
  reason text not null,
  ticket text,
  plan_hash text,
  fingerprint text,
  update_id text,
  acted_at timestamptz not null default clock_timestamp(),
  primary key (run_id, action_no),
  constraint action_is_known
    check (action in ('approve', 'reject', 'hold', 'release', 'retryStep', 'rollback', 'cancel', 'expired'))
);
create unique index control_action_of_an_update on sluice.control_action (run_id, update_id) where update_id is not null;
comment on table sluice.control_action is 'What people did to a run: approvals, holds, rollbacks, each with actor and reason.';
comment on column sluice.control_action.run_id is 'The run.';
comment on column sluice.control_action.action_no is 'Order.';
comment on column sluice.control_action.step_id is 'Step it was about, if any.';
comment on column sluice.control_action.action is 'Update that was accepted, or cancel, or expired.';
comment on column sluice.control_action.actor is 'Who, as claimed by the caller.';
comment on column sluice.control_action.temporal_identity is 'Identity that Temporal recorded.';
comment on column sluice.control_action.reason is 'Why, in the actor''s words.';
comment on column sluice.control_action.ticket is 'Ticket, if one was named.';
comment on column sluice.control_action.plan_hash is 'Plan that an approval is bound to.';
comment on column sluice.control_action.fingerprint is 'Database fingerprint that an approval or a release is bound to.';
comment on column sluice.control_action.update_id is 'Temporal update id; makes a repeated record the same record.';
comment on column sluice.control_action.acted_at is 'When it was recorded.';

create table sluice.observation (
  run_id uuid not null references sluice.run,
  step_id text not null,
  metric text not null,
  sample_no integer not null,
  value numeric,
  verdict text not null,
  sampled_at timestamptz not null default clock_timestamp(),
  primary key (run_id, step_id, metric, sample_no),
  constraint verdict_is_known check (verdict in ('pass', 'fail', 'inconclusive', 'not_run'))
);
comment on table sluice.observation is 'Samples of an observe step.';
comment on column sluice.observation.run_id is 'The run.';
comment on column sluice.observation.step_id is 'Step of the plan.';
comment on column sluice.observation.metric is 'Name of the metric.';
comment on column sluice.observation.sample_no is 'Sample of the window, from 1; all metrics of one tick share it.';
comment on column sluice.observation.value is 'Value in the metric''s unit; null where the query gave none.';
comment on column sluice.observation.verdict is 'Verdict of this sample by the metric''s limits.';
comment on column sluice.observation.sampled_at is 'When.';

create table sluice.evidence (
  run_id uuid not null,
  seq bigint not null,
  source text not null,
  payload text not null,
  prev_hash text not null,
  hash text not null,
  primary key (run_id, seq),
  constraint one_row_follows_each_row unique (run_id, prev_hash),
  constraint seq_is_positive check (seq > 0)
);
comment on table sluice.evidence is 'Hash chain per run over every row of the tables above: hash = sha256(prev_hash, source and payload, joined).';
comment on column sluice.evidence.run_id is 'The run whose chain it is.';
comment on column sluice.evidence.seq is 'Position in the chain, from 1.';
comment on column sluice.evidence.source is 'Table the row stands in.';
comment on column sluice.evidence.payload is 'The row as JSON text, exactly as hashed.';
comment on column sluice.evidence.prev_hash is 'Hash of the row before; 64 zeros for the first.';
comment on column sluice.evidence.hash is 'Lower-case hex sha256.';

create function sluice.fn_append_evidence()
  returns trigger
  language plpgsql
  set search_path = pg_catalog, sluice, pg_temp
as $$
-- does: appends the new row to its run's chain; a step that commits after its run was closed fails here;
-- called by: triggers; locks: the run's row, so a chain never forks; raises: SL003.
declare
  v_finished_at timestamptz;
  v_payload text := to_jsonb(new)::text;
  v_prev text;
  v_seq bigint;
begin
  select run.finished_at
  into v_finished_at
  from sluice.run
  where run.run_id = new.run_id
  for no key update;

  if v_finished_at is not null
    and tg_table_name = 'step_receipt'
    and to_jsonb(new) ->> 'direction' = 'do'
    and to_jsonb(new) ->> 'state' in ('done', 'already_applied')
  then
    raise exception using
      errcode = 'SL003',
      message = format('run %s is finished; its step %s came too late', new.run_id, to_jsonb(new) ->> 'step_id'),
      hint = 'A run that has ended does not go forward. Start the macro again.';
  end if;

  select evidence.hash, evidence.seq
  into v_prev, v_seq
  from sluice.evidence
  where evidence.run_id = new.run_id
  order by evidence.seq desc
  limit 1;

  v_prev := coalesce(v_prev, repeat('0', 64));
  insert into sluice.evidence (run_id, seq, source, payload, prev_hash, hash)
  values (
    new.run_id,
    coalesce(v_seq, 0) + 1,
    tg_table_name,
    v_payload,
    v_prev,
    encode(sha256(convert_to(v_prev || tg_table_name || v_payload, 'UTF8')), 'hex')
  );
  return null;
end
$$;
comment on function sluice.fn_append_evidence() is 'Trigger: appends the new row to the evidence chain of its run; refuses the receipt of a step that comes after the end of its run.';

create function sluice.fn_refuse_change()
  returns trigger
  language plpgsql
  set search_path = pg_catalog, sluice, pg_temp
as $$
-- does: refuses UPDATE, DELETE and TRUNCATE; called by: triggers; raises: SL004.
begin
  raise exception using
    errcode = 'SL004',
    message = format('table %I.%I is append-only; %s is refused', tg_table_schema, tg_table_name, tg_op),
    hint = 'The rows are evidence. Nothing was changed.';
end
$$;
comment on function sluice.fn_refuse_change() is 'Trigger: append-only tables refuse UPDATE, DELETE and TRUNCATE.';

create function sluice.fn_guard_run_change()
  returns trigger
  language plpgsql
  set search_path = pg_catalog, sluice, pg_temp
as $$
-- does: lets a run be finished once and nothing else; called by: trigger; raises: SL004.
begin
  if old.finished_at is not null
    or (to_jsonb(old) - array['finished_at', 'outcome', 'fingerprint_at_end', 'cause', 'left_to_do'])
      <> (to_jsonb(new) - array['finished_at', 'outcome', 'fingerprint_at_end', 'cause', 'left_to_do'])
  then
    raise exception using
      errcode = 'SL004',
      message = format('run %s can only be finished, once', old.run_id),
      hint = 'The row is evidence. Nothing was changed.';
  end if;
  return new;
end
$$;
comment on function sluice.fn_guard_run_change() is 'Trigger: a run may be finished once; every other change is refused.';

do $$
declare
  v_table text;
begin
  foreach v_table in array array['run', 'step_receipt', 'step_intent', 'step_failure', 'control_action', 'observation']
  loop
    execute format(
      'create trigger append_evidence after insert or update on sluice.%I
         for each row execute function sluice.fn_append_evidence()', v_table);
    execute format('alter table sluice.%I enable always trigger append_evidence', v_table);
  end loop;

  foreach v_table in array array[
    'script', 'plan', 'step_receipt', 'step_intent', 'step_failure', 'control_action', 'observation', 'evidence']
  loop
    execute format(
      'create trigger refuse_change before update or delete on sluice.%I
         for each row execute function sluice.fn_refuse_change()', v_table);
    execute format('alter table sluice.%I enable always trigger refuse_change', v_table);
  end loop;

  foreach v_table in array array[
    'script', 'plan', 'run', 'step_receipt', 'step_intent', 'step_failure', 'control_action', 'observation', 'evidence']
  loop
    execute format(
      'create trigger refuse_truncate before truncate on sluice.%I
         for each statement execute function sluice.fn_refuse_change()', v_table);
    execute format('alter table sluice.%I enable always trigger refuse_truncate', v_table);
  end loop;
end
$$;

create trigger guard_run_change before update on sluice.run
  for each row execute function sluice.fn_guard_run_change();
alter table sluice.run enable always trigger guard_run_change;
create trigger refuse_delete before delete on sluice.run
  for each row execute function sluice.fn_refuse_change();
alter table sluice.run enable always trigger refuse_delete;

revoke all on all functions in schema sluice from public;
