-- does:      installs the parking and the discarding of dead letters.
-- called by: macro event-worker.
-- locks:     creates only; nothing that exists is touched.
-- raises:    duplicate_function where foreign objects hold these names.

create function fn_iu_dead_letter_change(p_ids uuid[], p_state text, p_actor text, p_reason text)
  returns jsonb
  language plpgsql
  volatile
  security definer
  set search_path from current
as $$
-- does: parks dead letters, discards them for good, or opens parked ones again; all of them or none. Answers how many.
-- called by: sluice dead-letter park, discard, unpark.
-- locks: the letters, in the order of their ids.
-- raises: SL010 dead_letter_not_found, dead_letter_refused.
declare
  v_missing text;
  v_refused text;
  v_changed integer;
begin
  if (p_actor ~ '\S') is not true or (p_reason ~ '\S') is not true
    or (p_state in ('open', 'parked', 'discarded')) is not true
  then
    raise exception using
      errcode = 'SL010',
      message = format('Dead letters were to become %s without %s.', coalesce(p_state, 'null'),
        case when (p_actor ~ '\S') is not true then 'an actor' when (p_reason ~ '\S') is not true then 'a reason'
          else 'being open, parked or discarded' end),
      detail = '{"code": "dead_letter_refused", "expected": "They are parked, discarded or opened, and it is said by whom and why."}',
      hint = 'Nothing was changed.';
  end if;
  perform
  from iu_route_dead_letter
  where iu_route_dead_letter.dead_letter_id = any (p_ids)
  order by iu_route_dead_letter.dead_letter_id
  for update;
  select
    string_agg(asked.id::text, ', ') filter (where letter.dead_letter_id is null),
    string_agg(format('%s is %s', asked.id, letter.state), ', ')
      filter (where letter.state <> all (case p_state
        when 'open' then array['open', 'parked']
        when 'parked' then array['open', 'parked']
        else array['open', 'parked', 'discarded'] end))
  into v_missing, v_refused
  from unnest(p_ids) as asked (id)
  left join iu_route_dead_letter as letter on letter.dead_letter_id = asked.id;
  if v_missing is not null or v_refused is not null then
    raise exception using
      errcode = 'SL010',
      message = case
        when v_missing is not null then format('There is no dead letter %s in database %s.', v_missing, current_database())
        else format('Dead letter %s.', v_refused)
      end,
      detail = jsonb_build_object(
        'code', case when v_missing is not null then 'dead_letter_not_found' else 'dead_letter_refused' end,
        'expected', case
          when v_missing is not null then 'Ids are those of dead letters of this target.'
          else 'What is resolved or discarded stays so.'
        end),
      hint = 'Nothing was changed. Leave those ids out.';
  end if;
  update iu_route_dead_letter
  set
    state = p_state,
    state_actor = p_actor,
    state_reason = p_reason,
    state_at = clock_timestamp()
  where iu_route_dead_letter.dead_letter_id = any (p_ids)
    and iu_route_dead_letter.state <> p_state;
  get diagnostics v_changed = row_count;
  return jsonb_build_object('changed', v_changed);
end
$$;
comment on function fn_iu_dead_letter_change(uuid[], text, text, text) is
  'Layer worker. Parks dead letters, discards them for good, or opens parked ones again.';

alter function fn_iu_dead_letter_change(uuid[], text, text, text) owner to iu_core_owner;

revoke all on function fn_iu_dead_letter_change(uuid[], text, text, text) from public;
grant execute on function fn_iu_dead_letter_change(uuid[], text, text, text) to iu_core_operator;
