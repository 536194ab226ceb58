import { describe, expect, test } from 'vitest';
import { FORBIDDEN_ACTIONS } from '../contracts/forbidden-actions.ts';
import { FORBIDDEN_RULES } from '../planning/forbidden-rules.ts';
import { lintForbiddenActions } from '../planning/lint-forbidden-actions.ts';
import { parseScript } from '../planning/parse-script.ts';

async function rulesBroken(...texts: string[]): Promise<string[]> {
  const scripts = await Promise.all(texts.map((text, index) => parseScript(`${index}.sql`, text)));
  return lintForbiddenActions(scripts, []).problems.map(
    (problem) => /\(rule (.*?)\)/.exec(problem.what)?.[1] ?? '',
  );
}

/** By rule: what it finds, and what looks alike and is allowed. */
const CASES: Readonly<Record<string, { found: readonly string[]; allowed: readonly string[] }>> = {
  'drops-data': {
    found: [
      'drop table t',
      'drop schema s cascade',
      'alter table t drop column c',
      'drop owned by r',
      'do $$ begin drop table t; end $$',
    ],
    allowed: [
      'drop view v',
      'drop function f()',
      'drop index i',
      'drop table pg_temp.t',
      'alter table t drop constraint c',
    ],
  },
  truncates: { found: ['truncate t', 'truncate only t, u cascade'], allowed: ["select 'truncate t'"] },
  'deletes-everything': {
    found: [
      'delete from t',
      'delete from t where true',
      'with gone as (delete from t returning 1) select * from gone',
    ],
    allowed: ['delete from t where a = 1', 'delete from t using u where t.a = u.a'],
  },
  'sets-dry-run-false': {
    found: [
      "update iu_outbound_route set dry_run = false where route_code = 'x'",
      "update iu_outbound_route set dry_run = 'false'",
      "update iu_outbound_route set dry_run = 'off'::boolean",
      'update iu_outbound_route set dry_run = not dry_run',
      'update iu_outbound_route set (enabled, dry_run) = (true, false)',
      "insert into iu_outbound_route (route_code, dry_run) values ('a', true), ('b', false)",
      "insert into iu_outbound_route (route_code, dry_run) select 'b', false",
      "insert into iu_outbound_route (route_code) values ('b') on conflict (route_code) do update set dry_run = false",
      'merge into iu_outbound_route as r using n on r.a = n.a when matched then update set dry_run = false',
      'alter table iu_outbound_route alter column dry_run set default false',
      'do $$ begin update iu_outbound_route set dry_run = false; end $$',
      "do $$ begin execute 'update iu_outbound_route set dry_run = false'; end $$",
      "do $$ begin execute format('update %I set dry_run = false where a = %L', 'iu_outbound_route', 1); end $$",
    ],
    allowed: [
      'update iu_outbound_route set dry_run = true',
      'select false as dry_run',
      "insert into iu_outbound_route (route_code, dry_run) values ('a', true)",
      "insert into iu_route_attempt (route_code, dry_run) values ('a', false)",
      'select * from iu_outbound_route where dry_run = false',
      "comment on column iu_outbound_route.dry_run is 'dry_run = false delivers'",
    ],
  },
  'opens-delivery': {
    found: [
      "insert into dot_config (key, value) values ('iu_core.delivery_enabled', 'true')",
      "update dot_config set value = 'true' where key = 'iu_core.delivery_enabled'",
      "update dot_config set value = 'r1' where key = 'iu_core.delivery_live_routes'",
      "select fn_set_gate('iu_core.delivery_enabled', true)",
      "call set_gate('iu_core.delivery_enabled', 'true')",
    ],
    allowed: [
      "insert into dot_config (key, value, description) values ('iu_core.outbound_enabled', 'true', ''), ('iu_core.delivery_enabled', 'false', 'true opens it')",
      "insert into dot_config (key, value, description) values ('iu_core.delivery_live_routes', '', 'Routes that deliver')",
      "update dot_config set value = 'false' where key = 'iu_core.delivery_enabled'",
      "update dot_config set value = '' where key = 'iu_core.delivery_live_routes'",
      "update dot_config set value = 'true' where key = 'iu_core.route_worker_enabled'",
      "select value = 'true' from dot_config where key = 'iu_core.delivery_enabled'",
    ],
  },
  'sends-out': {
    found: ['create extension dblink', "select dblink_exec('c', 'select 1')", "copy t to program 'cat'"],
    allowed: ['create extension pgcrypto', 'create function http_get() returns int language sql return 1'],
  },
  'starts-a-daemon': {
    found: [
      'create extension if not exists pg_cron',
      "select cron.schedule('* * * * *', 'select 1')",
      "load 'auto_explain'",
    ],
    allowed: ['create extension vector', 'select schedule(1)'],
  },
  'controls-the-server': {
    found: [
      'alter system set work_mem = 1',
      'select pg_reload_conf()',
      "select pg_terminate_backend(pid) from pg_stat_activity where state = 'idle'",
      "copy t from program 'cat'",
    ],
    allowed: ["set local work_mem = '1MB'", 'select pg_backend_pid()'],
  },
  'shows-a-secret': {
    found: [
      "create role r login password 'hunter2'",
      "alter role r with encrypted password 'hunter2'",
      "create user mapping for r server s options (user 'u', password 'hunter2')",
      "create subscription s connection 'host=h password=hunter2' publication p",
      "select 'postgres://u:hunter2@h/d'",
    ],
    allowed: [
      'create role r login password null',
      'create role r nologin',
      'create table t (password text)',
      "select 'the password is set'",
    ],
  },
  'changes-a-lifecycle': {
    found: [
      "update information_unit set lifecycle_status = 'deprecated' where id = 1",
      'delete from information_unit where id = 1',
      "create function f() returns void language sql as $$ update information_unit set lifecycle_status = 'x' $$; select f()",
    ],
    allowed: [
      "update information_unit set title = 'x'",
      "insert into information_unit (lifecycle_status) values ('draft')",
      "create function f() returns void language sql as $$ update information_unit set lifecycle_status = 'x' $$",
    ],
  },
  'opens-auto-cut': {
    found: ["update dot_config set value = 'true' where key = 'iu_core.autocut_enabled'"],
    allowed: ["insert into dot_config values ('iu_core.autocut_enabled', 'false')"],
  },
};

describe.each(FORBIDDEN_RULES.map((rule) => [rule.name]))('rule %s', (name) => {
  test.each([...(CASES[name]?.found ?? [])])('finds %s', async (text) => {
    expect(await rulesBroken(text)).toContain(name);
  });
  test.each([...(CASES[name]?.allowed ?? [])])('allows %s', async (text) => {
    expect(await rulesBroken(text)).not.toContain(name);
  });
});

test('every forbidden action has a rule, and every rule has cases', () => {
  expect(new Set(FORBIDDEN_RULES.map((rule) => rule.action))).toEqual(
    new Set(Object.keys(FORBIDDEN_ACTIONS)),
  );
  expect(Object.keys(CASES).sort()).toEqual(FORBIDDEN_RULES.map((rule) => rule.name).sort());
});

describe('lintForbiddenActions', () => {
  test('places what it finds, behind wide characters and in bodies', async () => {
    const text =
      "select '€';\ndo $$\nbegin\n  perform 'ä'; update iu_outbound_route set dry_run = false;\nend $$;";
    const { problems } = lintForbiddenActions([await parseScript('x.sql', text)], []);
    expect(problems).toMatchObject([{ code: 'script_forbidden_action', file: 'x.sql', line: 4, column: 45 }]);
  });

  test('says nothing of what is lifted, but tells that it was taken', async () => {
    const script = await parseScript('x.sql', 'update iu_outbound_route set dry_run = false; truncate t');
    const { problems, taken } = lintForbiddenActions([script], ['dry-run-false']);
    expect(problems.map((problem) => problem.what)).toEqual([expect.stringMatching(/rule truncates/)]);
    expect([...taken].sort()).toEqual(['destructive-clean-up', 'dry-run-false']);
  });

  test('looks into BEGIN ATOMIC only when the routine is called', async () => {
    const atomic = 'create procedure wipe() language sql begin atomic delete from t; end';
    expect(await rulesBroken(atomic)).toEqual([]);
    expect(await rulesBroken(atomic, 'call wipe()')).toEqual(['deletes-everything']);
  });

  test('looks into a routine when a file of the macro calls it, through others too', async () => {
    const inner = 'create function inner_one() returns void language plpgsql as $$ begin truncate t; end $$';
    const outer = 'create procedure outer_one() language plpgsql as $$ begin perform inner_one(); end $$';
    expect(await rulesBroken(inner, outer)).toEqual([]);
    expect(await rulesBroken(inner, outer, 'call outer_one()')).toEqual(['truncates']);
    expect(await rulesBroken('call outer_one()', outer, inner)).toEqual(['truncates']);
  });
});
