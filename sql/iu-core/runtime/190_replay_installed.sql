-- does:      closes the installation of planned replays: demands that every function stands. Its undo comes first of all when
--            the macro is taken back, so that nothing is removed while plans are kept.
-- called by: macro dead-letter-replay, last file of install-012. Its undo is rollback 190.
-- locks:     none.
-- raises:    SL008 where a function is missing.

do $$
declare
  v_missing text;
begin
  select string_agg(wanted.name, ', ')
  into v_missing
  from (
    values
      ('fn_iu_replay_plan(jsonb,jsonb,text,text)'),
      ('fn_iu_replay_samples(text,integer)'),
      ('fn_iu_replay_tried(text,jsonb)'),
      ('fn_iu_replay_read(text)'),
      ('fn_iu_replay_approve(text,text,text)'),
      ('fn_iu_replay_open(text,jsonb,text,text)'),
      ('fn_iu_replay_abandon(text,text,text)'),
      ('fn_iu_replay_step(text,text,text,integer,integer)'),
      ('fn_iu_replay_next(text,text,text,integer)'),
      ('fn_iu_replay_try(text,text,integer[])'),
      ('fn_iu_replay_fail(text,text,integer,text,text)'),
      ('fn_iu_replay_steer(text,text,text,jsonb,text,text)'),
      ('fn_iu_replay_close(text,text,text,text)'),
      ('fn_iu_replay_report(text)'),
      ('fn_iu_replay_policy_set(text,jsonb,jsonb,integer,integer,integer,text,text,text)'),
      ('fn_iu_replay_policy_switch(text,boolean,text,text)'),
      ('fn_iu_replay_policy_remove(text,text,text)'),
      ('fn_iu_replay_plan_by_policy(text,text,text)')
  ) as wanted (name)
  where to_regprocedure(wanted.name) is null;
  if v_missing is not null then
    raise exception using
      errcode = 'SL008',
      message = format('planned replays are not whole: %s', v_missing),
      hint = 'Install with the files of one release. Nothing was changed by this file.';
  end if;
end
$$;
