-- does:      installs the evidence of a replay.
-- called by: macro dead-letter-replay.
-- locks:     creates only; nothing that exists is touched.
-- raises:    duplicate_function where foreign objects hold these names.

create function fn_iu_replay_report(p_plan_hash text)
  returns jsonb
  language plpgsql
  stable
  security definer
  set search_path from current
as $$
-- does: what a replay has done, in one snapshot: plan, progress, runs and story; counts by route and kind of failure; what was
--       skipped and why; the first 1,000 letters that are still open, each with why; a digest of every letter's outcome; and
--       the proof that nothing was lost.
-- called by: sluice dead-letter replay show; locks: none; raises: SL010 replay_not_found.
declare
  v_plan_hash constant text := fn_iu_replay_find(p_plan_hash);
begin
  return fn_iu_replay_read(v_plan_hash) || jsonb_build_object(
    'groups', (
      select jsonb_agg(
        jsonb_build_object(
          'route', counted.route_code, 'fingerprint', counted.fingerprint, 'letters', counted.letters,
          'resolved', counted.resolved, 'failed', counted.failed, 'skipped', counted.skipped,
          'waiting', counted.waiting, 'tries', counted.tries)
        order by counted.letters desc, counted.route_code, counted.fingerprint)
      from (
        select
          letter.route_code,
          letter.fingerprint,
          count(*) as letters,
          count(*) filter (where letter.state = 'resolved') as resolved,
          count(*) filter (where letter.state = 'failed') as failed,
          count(*) filter (where letter.state = 'skipped') as skipped,
          count(*) filter (where letter.state in ('waiting', 'behind', 'queued')) as waiting,
          sum(letter.tries) as tries
        from iu_replay_letter as letter
        where letter.plan_hash = v_plan_hash
        group by letter.route_code, letter.fingerprint
      ) as counted
    ),
    'skippedBecause', coalesce((
      select jsonb_agg(
        jsonb_build_object('because', counted.because, 'letters', counted.letters)
        order by counted.because)
      from (
        select
          letter.because,
          count(*) as letters
        from iu_replay_letter as letter
        where letter.plan_hash = v_plan_hash
          and letter.state = 'skipped'
        group by letter.because
      ) as counted
    ), '[]'),
    'stillOpen', coalesce((
      select jsonb_agg(
        jsonb_build_object(
          'id', remaining.dead_letter_id, 'route', remaining.route_code, 'fingerprint', remaining.fingerprint,
          'failureCode', remaining.failure_code, 'state', remaining.state, 'because', remaining.because)
        order by remaining.place)
      from (
        select
          letter.place,
          letter.dead_letter_id,
          letter.route_code,
          dead_letter.fingerprint,
          dead_letter.failure_code,
          letter.state,
          letter.because
        from iu_replay_letter as letter
        join iu_route_dead_letter as dead_letter on dead_letter.dead_letter_id = letter.dead_letter_id
        where letter.plan_hash = v_plan_hash
          and dead_letter.state in ('open', 'parked')
        order by letter.place
        limit 1000
      ) as remaining
    ), '[]'),
    'lettersSha256', (
      select encode(
        sha256(convert_to(
          string_agg(
            concat_ws(' ', letter.place, letter.dead_letter_id, letter.state, letter.attempt_no, letter.tries),
            E'\n' order by letter.place),
          'UTF8')),
        'hex')
      from iu_replay_letter as letter
      where letter.plan_hash = v_plan_hash
    ),
    'conservation', fn_iu_conservation()
  );
end
$$;
comment on function fn_iu_replay_report(text) is 'Layer replay. What a replay has done, as evidence.';

alter function fn_iu_replay_report(text) owner to iu_core_owner;

revoke all on function fn_iu_replay_report(text) from public;
grant execute on function fn_iu_replay_report(text) to iu_core_operator, iu_core_auditor, iu_core_worker;
