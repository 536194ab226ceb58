-- does:      installs what a planned replay of dead letters keeps: plans that never change once they are made, their letters
--            and how far each has come, the runs that execute them, the story of a plan, and the policies of scheduled
--            replays, all switched off. The functions come after it.
-- called by: macro dead-letter-replay.
-- locks:     creates only; nothing that exists is touched.
-- raises:    duplicate_table, unique_violation where foreign objects or settings hold these names.

insert into dot_config (key, value)
values
  ('iu_core.replay_approval_above', '1000'),
  ('iu_core.replay_plan_hours', '24'),
  ('iu_core.replay_max_letters', '1000000');

create table iu_replay_plan (
  plan_hash text collate "C" primary key,
  filter jsonb not null,
  policy jsonb not null,
  letters integer not null,
  canary_letters integer not null,
  groups jsonb not null,
  routes jsonb not null,
  excluded jsonb not null,
  needs_approval boolean not null,
  policy_code text collate "C",
  actor text not null,
  reason text not null,
  expires_at timestamptz not null,
  xact_id xid8 not null default pg_current_xact_id(),
  created_at timestamptz not null default clock_timestamp(),
  constraint plan_hash_is_a_sha256 check (plan_hash ~ '^[0-9a-f]{64}$'),
  constraint a_plan_has_letters check (letters > 0),
  constraint canary_is_a_part check (canary_letters between 0 and letters),
  constraint a_plan_tells_who_and_why check (actor ~ '\S' and reason ~ '\S')
);
comment on table iu_replay_plan is
  'Layer replay. A frozen plan: which dead letters are replayed, in which order, by which policy. Append-only.';
comment on column iu_replay_plan.plan_hash is 'SHA-256 of the cluster, the letters with their attempt numbers, routes, filter, policy and time.';
comment on column iu_replay_plan.filter is 'Which letters were asked for.';
comment on column iu_replay_plan.policy is 'Canary, limits, rate and retry policy, each value given.';
comment on column iu_replay_plan.letters is 'How many letters it has.';
comment on column iu_replay_plan.canary_letters is 'How many of them, by place, are tried before the rest.';
comment on column iu_replay_plan.groups is 'Counts by route and fingerprint.';
comment on column iu_replay_plan.routes is 'The routes as they were, each with a digest; another one makes the plan stale.';
comment on column iu_replay_plan.excluded is 'Letters that the filter matches and the plan leaves alone, counted by reason.';
comment on column iu_replay_plan.needs_approval is 'Whether a second person has to approve it.';
comment on column iu_replay_plan.policy_code is 'The policy that made it; null where a person did.';
comment on column iu_replay_plan.actor is 'Who made it, as claimed.';
comment on column iu_replay_plan.reason is 'Why.';
comment on column iu_replay_plan.expires_at is 'From then on it is stale.';
comment on column iu_replay_plan.xact_id is 'Transaction that wrote it.';
comment on column iu_replay_plan.created_at is 'When it was made.';

create table iu_replay_progress (
  plan_hash text collate "C" primary key references iu_replay_plan,
  state text not null default 'planned',
  run_no integer not null default 0,
  next_place integer not null default 1,
  resolved integer not null default 0,
  failed integer not null default 0,
  skipped integer not null default 0,
  queued integer not null default 0,
  tries bigint not null default 0,
  canary text not null,
  canary_failed integer not null default 0,
  rate_per_second numeric,
  uses_queue boolean not null,
  held_by text,
  held_because text,
  gate_because text,
  stops_by text,
  tried_out jsonb not null default '[]',
  approved_by text,
  approved_at timestamptz,
  updated_at timestamptz not null default clock_timestamp(),
  constraint state_is_known check (state in ('planned', 'running', 'cancelled', 'stopped', 'executed')),
  constraint canary_is_known check (canary in ('none', 'running', 'passed', 'failed')),
  constraint counts_are_not_negative check (least(resolved, failed, skipped, queued) >= 0),
  constraint rate_is_positive check (rate_per_second > 0),
  constraint a_hold_tells_who_and_why check ((held_by is null) = (held_because is null)),
  constraint an_approval_has_its_time check ((approved_by is null) = (approved_at is null))
) with (fillfactor = 20);
comment on table iu_replay_progress is
  'Layer replay. How far a plan has come, one row each, written with every batch; what steers its run.';
comment on column iu_replay_progress.plan_hash is 'The plan.';
comment on column iu_replay_progress.state is 'planned, running, cancelled (a new run goes on), stopped or executed (both final).';
comment on column iu_replay_progress.run_no is 'The newest run; 0 before the first.';
comment on column iu_replay_progress.next_place is 'Letters before this place have been begun or passed by.';
comment on column iu_replay_progress.resolved is 'Letters that were resolved by it.';
comment on column iu_replay_progress.failed is 'Letters whose tries are spent, or whose failure is not retryable; they stay open.';
comment on column iu_replay_progress.skipped is 'Letters that were left alone, each with why.';
comment on column iu_replay_progress.queued is 'Letters whose delivery is queued.';
comment on column iu_replay_progress.tries is 'Tries so far, repeats included.';
comment on column iu_replay_progress.canary is 'none (or done with), running, passed or failed.';
comment on column iu_replay_progress.canary_failed is 'Letters of the canary that failed.';
comment on column iu_replay_progress.rate_per_second is 'Letters per second; null as fast as it goes.';
comment on column iu_replay_progress.uses_queue is 'Whether some of its routes deliver outside the database.';
comment on column iu_replay_progress.held_by is 'Who holds it; null where nobody does.';
comment on column iu_replay_progress.held_because is 'Why.';
comment on column iu_replay_progress.gate_because is 'The gate that held the last step; null where none did.';
comment on column iu_replay_progress.stops_by is 'Who asked for it to stop: it tries nothing further.';
comment on column iu_replay_progress.tried_out is 'What trying letters out beforehand showed, by route and fingerprint.';
comment on column iu_replay_progress.approved_by is 'Who approved the plan, as claimed.';
comment on column iu_replay_progress.approved_at is 'When.';
comment on column iu_replay_progress.updated_at is 'When the row was written last.';

create table iu_replay_run (
  plan_hash text collate "C" not null references iu_replay_plan,
  run_no integer not null,
  workflow_id text not null,
  run_id text not null,
  temporal_namespace text not null,
  temporal_address text not null,
  temporal_cluster_id text not null,
  actor text not null,
  reason text not null,
  failed_before integer not null,
  started_at timestamptz not null default clock_timestamp(),
  ended_at timestamptz,
  outcome text,
  because text,
  constraint iu_replay_run_pkey primary key (plan_hash, run_no),
  constraint a_run_is_opened_once unique (plan_hash, run_id),
  constraint outcome_is_known check (
    outcome in ('executed', 'canary_passed', 'stopped', 'cancelled', 'failed', 'abandoned')),
  constraint an_end_has_its_outcome check ((ended_at is null) = (outcome is null))
);
comment on table iu_replay_run is 'Layer replay. Runs of a plan; one that continues as new is one run.';
comment on column iu_replay_run.plan_hash is 'The plan.';
comment on column iu_replay_run.run_no is '1 for the first.';
comment on column iu_replay_run.workflow_id is 'Temporal''s workflow id.';
comment on column iu_replay_run.run_id is 'Temporal''s id of the first execution of the run.';
comment on column iu_replay_run.temporal_namespace is 'Namespace in Temporal.';
comment on column iu_replay_run.temporal_address is 'Address of that Temporal.';
comment on column iu_replay_run.temporal_cluster_id is 'Which Temporal cluster that is.';
comment on column iu_replay_run.actor is 'Who started it, as claimed.';
comment on column iu_replay_run.reason is 'Why.';
comment on column iu_replay_run.failed_before is 'Letters of the plan that had failed when it began; the failure limit counts from there.';
comment on column iu_replay_run.started_at is 'When it began.';
comment on column iu_replay_run.ended_at is 'When it ended; null while it runs.';
comment on column iu_replay_run.outcome is 'executed, canary_passed, stopped, cancelled, failed, abandoned.';
comment on column iu_replay_run.because is 'Why it ended so.';

create table iu_replay_letter (
  plan_hash text collate "C" not null,
  place integer not null,
  dead_letter_id uuid not null,
  event_id uuid not null,
  route_code text collate "C",
  worker_code text collate "C" not null,
  fingerprint text not null,
  subject text collate "C",
  subject_seq bigint,
  attempt_no integer not null,
  state text not null default 'waiting',
  tries integer not null default 0,
  due_at timestamptz,
  because text,
  constraint iu_replay_letter_pkey primary key (plan_hash, place),
  constraint place_is_positive check (place > 0),
  constraint state_is_known check (state in ('waiting', 'behind', 'queued', 'resolved', 'failed', 'skipped')),
  constraint what_waits_behind_has_a_subject check (state <> 'behind' or subject is not null),
  constraint only_what_waits_is_due check (due_at is null or state = 'waiting')
) with (fillfactor = 50);
create index iu_replay_letter_due on iu_replay_letter (plan_hash, due_at, place) where due_at is not null;
create index iu_replay_letter_queued on iu_replay_letter (plan_hash, place) where state = 'queued';
create index iu_replay_letter_behind on iu_replay_letter (plan_hash, route_code, subject, subject_seq) where state = 'behind';
create index iu_replay_letter_of on iu_replay_letter (dead_letter_id);
comment on table iu_replay_letter is
  'Layer replay. The letters of a plan in the order in which they are tried, and what became of each; nothing deletes a row.';
comment on column iu_replay_letter.plan_hash is 'The plan.';
comment on column iu_replay_letter.place is 'Place in the order: the canary first, then by route and kind of failure.';
comment on column iu_replay_letter.dead_letter_id is 'The letter.';
comment on column iu_replay_letter.event_id is 'Its event.';
comment on column iu_replay_letter.route_code is 'Its route; null where the failure belongs to none.';
comment on column iu_replay_letter.worker_code is 'Its worker.';
comment on column iu_replay_letter.fingerprint is 'Its kind of failure when the plan was made.';
comment on column iu_replay_letter.subject is 'Domain and subject, where its route keeps their order; null otherwise.';
comment on column iu_replay_letter.subject_seq is 'Place of the event among those of its subject, where order is kept.';
comment on column iu_replay_letter.attempt_no is 'Number of its newest attempt, as far as the plan knows: another one is somebody else''s.';
comment on column iu_replay_letter.state is
  'waiting; behind (an earlier one of its subject); queued for delivery; resolved; failed (stays open); skipped (left alone).';
comment on column iu_replay_letter.tries is 'Tries that the plan has made.';
comment on column iu_replay_letter.due_at is 'When its next try is due; null before the first one, which goes by place.';
comment on column iu_replay_letter.because is 'Failure code of the last try, or why it was skipped.';

create table iu_replay_story (
  story_id uuid primary key default fn_iu_uuid_v7(),
  plan_hash text collate "C" not null references iu_replay_plan,
  what text not null,
  actor text not null,
  reason text not null,
  detail jsonb not null default '{}',
  at timestamptz not null default clock_timestamp(),
  constraint what_is_known check (
    what in (
      'planned', 'tried_out', 'approved', 'opened', 'canary_passed', 'hold', 'release', 'skip', 'rate', 'cancel',
      'gate_closed', 'gate_opened', 'stopped', 'ended'))
);
create index iu_replay_story_of on iu_replay_story (plan_hash, story_id);
comment on table iu_replay_story is 'Layer replay. What happened to a plan, by whom and why. Append-only.';
comment on column iu_replay_story.story_id is 'Identity, uuid v7.';
comment on column iu_replay_story.plan_hash is 'The plan.';
comment on column iu_replay_story.what is 'What happened.';
comment on column iu_replay_story.actor is 'Who did it, as claimed; `replay` for what a run did by itself.';
comment on column iu_replay_story.reason is 'Why.';
comment on column iu_replay_story.detail is 'More of it: the rate, what is skipped, the run.';
comment on column iu_replay_story.at is 'When.';

create table iu_replay_policy (
  policy_code text collate "C" primary key,
  is_enabled boolean not null default false,
  filter jsonb not null,
  policy jsonb not null,
  min_age interval not null default '5 minutes',
  max_letters integer not null default 100,
  max_replays integer not null default 3,
  description text not null default '',
  changed_by text not null,
  change_reason text not null,
  changed_at timestamptz not null default clock_timestamp(),
  constraint policy_code_is_plain check (policy_code ~ '^[a-z0-9][a-z0-9_.-]*$' and length(policy_code) <= 100),
  constraint min_age_is_not_negative check (min_age >= '0'),
  constraint max_letters_is_positive check (max_letters > 0),
  constraint max_replays_is_positive check (max_replays > 0),
  constraint a_change_tells_who_and_why check (changed_by ~ '\S' and change_reason ~ '\S')
);
comment on table iu_replay_policy is 'Layer replay. What a scheduled replay may replay by itself; off until switched on.';
comment on column iu_replay_policy.policy_code is 'Name of the policy.';
comment on column iu_replay_policy.is_enabled is 'Whether the schedule uses it.';
comment on column iu_replay_policy.filter is 'Which letters: routes, codes, fingerprints.';
comment on column iu_replay_policy.policy is 'How they are replayed.';
comment on column iu_replay_policy.min_age is 'Letters whose newest failure is younger are left alone.';
comment on column iu_replay_policy.max_letters is 'The oldest so many at a time.';
comment on column iu_replay_policy.max_replays is 'Letters that were replayed so often are left to people.';
comment on column iu_replay_policy.description is 'What it is for.';
comment on column iu_replay_policy.changed_by is 'Who changed it last, as claimed.';
comment on column iu_replay_policy.change_reason is 'Why.';
comment on column iu_replay_policy.changed_at is 'When.';

create trigger trg_iu_replay_plan_append_only
  before update or delete on iu_replay_plan
  for each row execute function fn_iu_append_only();
create trigger trg_iu_replay_plan_no_truncate
  before truncate on iu_replay_plan
  for each statement execute function fn_iu_append_only();
create trigger trg_iu_replay_story_append_only
  before update or delete on iu_replay_story
  for each row execute function fn_iu_append_only();
create trigger trg_iu_replay_story_no_truncate
  before truncate on iu_replay_story
  for each statement execute function fn_iu_append_only();
create trigger trg_iu_replay_run_no_delete
  before delete on iu_replay_run
  for each row execute function fn_iu_append_only();
create trigger trg_iu_replay_run_no_truncate
  before truncate on iu_replay_run
  for each statement execute function fn_iu_append_only();
create trigger trg_iu_replay_letter_no_delete
  before delete on iu_replay_letter
  for each row execute function fn_iu_append_only();
create trigger trg_iu_replay_letter_no_truncate
  before truncate on iu_replay_letter
  for each statement execute function fn_iu_append_only();
alter table iu_replay_plan enable always trigger trg_iu_replay_plan_append_only;
alter table iu_replay_plan enable always trigger trg_iu_replay_plan_no_truncate;
alter table iu_replay_story enable always trigger trg_iu_replay_story_append_only;
alter table iu_replay_story enable always trigger trg_iu_replay_story_no_truncate;
alter table iu_replay_run enable always trigger trg_iu_replay_run_no_delete;
alter table iu_replay_run enable always trigger trg_iu_replay_run_no_truncate;
alter table iu_replay_letter enable always trigger trg_iu_replay_letter_no_delete;
alter table iu_replay_letter enable always trigger trg_iu_replay_letter_no_truncate;

alter table iu_replay_plan owner to iu_core_owner;
alter table iu_replay_progress owner to iu_core_owner;
alter table iu_replay_run owner to iu_core_owner;
alter table iu_replay_letter owner to iu_core_owner;
alter table iu_replay_story owner to iu_core_owner;
alter table iu_replay_policy owner to iu_core_owner;

revoke all on table iu_replay_plan, iu_replay_progress, iu_replay_run, iu_replay_letter, iu_replay_story, iu_replay_policy
  from public;
grant select on table iu_replay_plan, iu_replay_progress, iu_replay_run, iu_replay_letter, iu_replay_story, iu_replay_policy
  to iu_core_operator, iu_core_auditor;
