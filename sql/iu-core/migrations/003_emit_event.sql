-- does:      installs the governed emitter, the only way an event is written, and its limit in the configuration.
-- called by: macro iu-core-base.
-- locks:     creates only; nothing that exists is touched.
-- raises:    duplicate_function where a foreign object holds this name.

insert into dot_config (key, value)
values ('iu_core.event_payload_max_bytes', '262144');

create function fn_iu_emit_event(
  p_event_domain text,
  p_event_type text,
  p_event_subject text,
  p_subject_ref uuid,
  p_payload jsonb,
  p_actor text
)
  returns uuid
  language plpgsql
  volatile
  security definer
  set search_path from current
as $$
-- does: validates and writes one event in the caller's transaction; returns its id.
-- called by: producers with role iu_core_emitter, triggers trg_iu_out_…, the probe.
-- locks: none beyond the new row.
-- raises: invalid_parameter_value; config_file_error where the size limit is not configured.
declare
  v_max_bytes constant integer := fn_iu_config_positive_int('iu_core.event_payload_max_bytes');
  v_refused constant text := case
    when p_event_domain is null or p_event_domain !~ '^\S+$' then 'the event domain is empty or holds white space'
    when p_event_type is null or p_event_type !~ '^\S+$' then 'the event type is empty or holds white space'
    when octet_length(p_event_domain) > 200 or octet_length(p_event_type) > 200 then 'domain or type is longer than 200 bytes'
    when octet_length(p_event_subject) > 2000 then 'the event subject is longer than 2000 bytes'
    when p_payload is null or jsonb_typeof(p_payload) <> 'object' then 'the payload is not a JSON object'
    when octet_length(p_payload::text) > v_max_bytes then format(
      'the payload has %s bytes; dot_config iu_core.event_payload_max_bytes allows %s',
      octet_length(p_payload::text), v_max_bytes)
    when p_actor is null or p_actor !~ '\S' then 'the actor is empty'
  end;
  v_id uuid;
begin
  if v_refused is not null then
    raise exception using
      errcode = 'invalid_parameter_value',
      message = format('event refused: %s', v_refused),
      hint = 'Correct the call. No event was written.';
  end if;

  insert into event_outbox (event_domain, event_type, event_subject, subject_ref, payload, actor)
  values (p_event_domain, p_event_type, p_event_subject, p_subject_ref, p_payload, p_actor)
  returning event_outbox.id into v_id;
  return v_id;
end
$$;
comment on function fn_iu_emit_event(text, text, text, uuid, jsonb, text) is
  'Layer outbox. The governed emitter: validates and writes one event in the caller''s transaction and returns its id.';

alter function fn_iu_emit_event(text, text, text, uuid, jsonb, text) owner to iu_core_owner;
revoke all on function fn_iu_emit_event(text, text, text, uuid, jsonb, text) from public;
grant execute on function fn_iu_emit_event(text, text, text, uuid, jsonb, text) to iu_core_emitter;
