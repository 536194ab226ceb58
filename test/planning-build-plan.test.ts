import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { assertPlanFresh } from '../planning/assert-plan-fresh.ts';
import { buildPlan } from '../planning/build-plan.ts';
import { findMacro, listMacros } from '../planning/list-macros.ts';
import { pinnedScripts } from '../planning/pinned-scripts.ts';
import { MAX_SCRIPT_BYTES } from '../planning/read-script-file.ts';
import { sha256Hex } from '../planning/sha256-hex.ts';
import { problemsOf, rejection } from './fixtures/planning/rejection.ts';
import {
  copyWidget,
  freshFolder,
  ONE_MIGRATE,
  writeFiles,
  writeMacro,
} from './fixtures/planning/write-macro.ts';

const FOR = { target: 'local', schema: 'public' };
const planOf = (files: Readonly<Record<string, string | Buffer>>) =>
  writeMacro({ 'macro.yaml': ONE_MIGRATE, 'a.sql': 'select 1', 'b.sql': 'select 2', ...files }).then(
    (manifestPath) => buildPlan({ manifestPath, ...FOR }),
  );

describe('a plan', () => {
  test('holds every step with its pinned texts', async () => {
    const { plan, scripts } = await buildPlan({ manifestPath: await copyWidget(), ...FOR });
    expect(plan).toMatchObject({
      format: 1,
      macro: 'widget',
      target: 'local',
      schema: 'public',
      next: 'widget-live',
      disable: [{ id: 'l0', script: { path: 'macros/widget/sql/stop.sql' } }],
    });
    expect(plan.steps.find((step) => step.id === 'colour-index')).toMatchObject({
      files: [
        {
          do: { path: 'macros/widget/sql/index.sql' },
          doneWhen: { path: 'macros/widget/checks/index-there.sql' },
        },
      ],
    });
    expect(plan.steps.find((step) => step.id === 'probe')).toMatchObject({
      onFail: 'hold',
      after: [{ path: 'macros/widget/checks/gates.sql' }],
    });
    expect(plan.steps.find((step) => step.id === 'observe')).toMatchObject({
      windowMs: 20_000,
      intervalMs: 1_000,
      metrics: [{ pass: { max: 0 }, fail: { max: 100 }, consecutiveSuccess: 3, failureLimit: 2 }],
      alongside: { workflow: 'drain', input: { batchSize: 10 } },
    });
    expect(new Set(pinnedScripts(plan).values())).toEqual(new Set(scripts.keys()));
    for (const [sha256, text] of scripts) expect(sha256Hex(text)).toBe(sha256);
  });

  test('has the same hash wherever the package is kept, and this one', async () => {
    const [one, two] = await Promise.all(
      [copyWidget(), copyWidget()].map(async (copy) => buildPlan({ manifestPath: await copy, ...FOR })),
    );
    expect(one?.planHash).toBe(two?.planHash);
    expect(one?.planHash).toBe('83b068e531149f5892140e752cf8b1622d3402bf514b893d612174affc111b23');
    expect(one?.planHash).toBe(sha256Hex(one?.canonical ?? ''));
  });

  test('has another hash for another target, schema, text or override', async () => {
    const manifestPath = await copyWidget();
    const changed = await copyWidget({ 'sql/start.sql': "update paint_gate set value = 'true' ;\n" });
    const built = await Promise.all([
      buildPlan({ manifestPath, ...FOR }),
      buildPlan({ manifestPath, ...FOR, target: 'other' }),
      buildPlan({ manifestPath, ...FOR, schema: 'other' }),
      buildPlan({ manifestPath, ...FOR, overrides: { 'observe.window': '2s' } }),
      buildPlan({ manifestPath: changed, ...FOR }),
    ]);
    expect(new Set(built.map((one) => one.planHash)).size).toBe(built.length);
  });

  test('keeps a text as it is: line ends, trailing blanks and all', async () => {
    const text = "select 'a'  \r\n;\r\n\n";
    const { scripts } = await planOf({ 'a.sql': text });
    expect(scripts.get(sha256Hex(text))).toBe(text);
  });

  test('lets probes do what is forbidden, and tells what a reader should know', async () => {
    const { notes } = await buildPlan({ manifestPath: await copyWidget(), ...FOR });
    expect(notes).toEqual([]);
    const lifting = ONE_MIGRATE.replace('steps:', 'lifts: [daemon]\nsteps:');
    expect((await planOf({ 'macro.yaml': lifting })).notes).toEqual([
      'The macro lifts daemon, but no file was seen to do it.',
    ]);
  });
});

describe('planning refuses', () => {
  test('a missing file, naming the line of the manifest', async () => {
    const manifestPath = await writeMacro({ 'macro.yaml': ONE_MIGRATE, 'a.sql': 'select 1' });
    expect(await problemsOf(buildPlan({ manifestPath, ...FOR }))).toMatchObject([
      { code: 'script_missing', place: 'macro.yaml:11:28', what: '`b.sql` does not exist.' },
    ]);
  });

  test('a folder where a file is named', async () => {
    const problems = await problemsOf(
      planOf({ 'macro.yaml': ONE_MIGRATE.replace('b.sql', 'c.sql'), 'c.sql/x': '' }),
    );
    expect(problems).toMatchObject([{ code: 'script_missing', what: '`c.sql` is not a file.' }]);
  });

  test('a syntax error, by file, line and column', async () => {
    const error = await rejection(planOf({ 'a.sql': 'select 1;\ncreate tabel t ();\n' }));
    expect(error.code).toBe('script_syntax');
    expect(error.message).toMatch(/a\.sql:2:8: PostgreSQL's parser says: syntax error at or near "tabel"\./);
  });

  test('COMMIT in a managed file', async () => {
    const problems = await problemsOf(planOf({ 'a.sql': 'select 1;\ncommit;\n' }));
    expect(problems).toMatchObject([{ code: 'script_transaction_control', place: 'a.sql:2:1' }]);
  });

  test.each([
    ['more than 5 MiB', `select '${'x'.repeat(MAX_SCRIPT_BYTES)}'`, 'a.sql:1:1', /^The file has 5\.0 MiB/],
    ['a NUL byte', 'select 1;\nselect \0', 'a.sql:2:8', /^The file holds a NUL byte here/],
    [
      'bytes that are not UTF-8',
      Buffer.from("select 'ä';\nselect 'x\xe4'", 'latin1'),
      'a.sql:1:9',
      /^The bytes here are not UTF-8/,
    ],
  ])('%s', async (_, content, place, what) => {
    const problems = await problemsOf(planOf({ 'a.sql': content }));
    expect(problems).toMatchObject([{ code: 'script_syntax', place, what: expect.stringMatching(what) }]);
  });

  test('a statement that cannot run in a transaction, unless done_when says when it is done', async () => {
    const sql = 'create index concurrently i on t (a);';
    const [problem] = await problemsOf(planOf({ 'a.sql': `-- why\n${sql}` }));
    expect(problem).toMatchObject({
      code: 'script_transaction_control',
      place: 'a.sql:2:1',
      what: 'CREATE INDEX CONCURRENTLY cannot run in a transaction.',
    });
    expect(problem?.expected).toMatch(/add done_when: to it at .*macro\.yaml:11\.$/);
    const manifest = ONE_MIGRATE.replace('do: a.sql', 'do: a.sql, done_when: c.sql');
    const files = { 'macro.yaml': manifest, 'c.sql': 'select 1' };
    await expect(planOf({ ...files, 'a.sql': sql })).resolves.toBeDefined();
    const [two] = await problemsOf(planOf({ ...files, 'a.sql': `${sql} select 1;` }));
    expect(two?.what).toBe(
      'The file has 2 statements, though done_when says that it runs outside a transaction.',
    );
  });

  test('an undo that cannot run in a transaction', async () => {
    const [problem] = await problemsOf(planOf({ 'b.sql': 'drop index concurrently i' }));
    expect(problem).toMatchObject({ code: 'script_transaction_control', place: 'b.sql:1:1' });
  });

  test('a forbidden action that is not lifted, and allows it lifted, undone or probed', async () => {
    const forbidden = { 'a.sql': 'truncate t' };
    expect(await problemsOf(planOf(forbidden))).toMatchObject([
      { code: 'script_forbidden_action', place: 'a.sql:1:1' },
    ]);
    const lifting = ONE_MIGRATE.replace('steps:', 'lifts: [destructive-clean-up]\nsteps:');
    await expect(planOf({ 'macro.yaml': lifting, ...forbidden })).resolves.toBeDefined();
    await expect(planOf({ 'b.sql': 'truncate t' })).resolves.toBeDefined();
  });

  test('a password in an undo all the same', async () => {
    const [problem] = await problemsOf(planOf({ 'b.sql': "alter role r password 'x'" }));
    expect(problem).toMatchObject({ code: 'script_forbidden_action', place: 'b.sql:1:14' });
  });

  test('another target than the manifest names', async () => {
    const [problem] = await problemsOf(
      planOf({ 'macro.yaml': ONE_MIGRATE.replace('steps:', 'target: staging\nsteps:') }),
    );
    expect(problem).toMatchObject({ code: 'manifest_invalid', place: 'macro.yaml:3:9' });
  });

  test('all of it at once, in one error', async () => {
    const problems = await problemsOf(planOf({ 'a.sql': 'selec 1', 'b.sql': 'rollback' }));
    expect(problems.map((problem) => problem.place)).toEqual(['a.sql:1:1', 'b.sql:1:1']);
  });
});

describe('an override', () => {
  const withOverrides = async (overrides: Readonly<Record<string, string>>) =>
    buildPlan({ manifestPath: await copyWidget(), ...FOR, overrides });

  test('replaces a time or an input, keeps its type, and is named in the plan', async () => {
    const overrides = {
      'observe.window': '2s',
      'observe.interval': '500ms',
      'approval.expires': '5s',
      'drain.input.batchSize': '7',
      'drain.input.dry': 'true',
      'observe.alongside.input.batchSize': '8',
    };
    const { plan, notes } = await withOverrides(overrides);
    const step = (id: string) => plan.steps.find((one) => one.id === id);
    expect(step('observe')).toMatchObject({
      windowMs: 2_000,
      intervalMs: 500,
      alongside: { input: { batchSize: 8 } },
    });
    expect(step('approval')).toMatchObject({ expiresMs: 5_000 });
    expect(step('drain')).toMatchObject({ input: { batchSize: 7, dry: true, colour: 'red' } });
    expect(plan.overrides).toEqual(overrides);
    expect(notes).toContain('observe.window is 2s in this plan, not what the manifest says.');
  });

  test.each([
    [{ 'observ.window': '2s' }, /names no step of this macro\. Steps: gates, backup,/],
    [{ 'colour.files': 'x.sql' }, /names no field that can be replaced/],
    [{ window: '2s' }, /names no field that can be replaced/],
    [{ 'approval.window': '2s' }, /a field that the step of kind approve does not have/],
    [{ 'drain.input.unknown': '2s' }, /a field that the step of kind run does not have/],
    [{ 'observe.window': '2 s' }, /has the value `2 s`, which the step cannot take/],
    [{ 'observe.window': '1ms' }, /The window is shorter than the interval/],
  ])('that fits nothing is refused: %j', async (overrides, message) => {
    const error = await rejection(withOverrides(overrides));
    expect(error.code).toBe('usage');
    expect(error.message).toMatch(message);
  });
});

describe('assertPlanFresh', () => {
  const staleness = async (change: (folder: string) => Promise<void>) => {
    const manifestPath = await copyWidget();
    const { plan: stored } = await buildPlan({ manifestPath, ...FOR });
    await change(path.dirname(manifestPath));
    const built = await buildPlan({ manifestPath, ...FOR });
    return rejection(Promise.resolve().then(() => assertPlanFresh(built, stored)));
  };

  test('is content while nothing changed', async () => {
    const manifestPath = await copyWidget();
    const options = { manifestPath, ...FOR, overrides: { 'observe.window': '2s' } };
    const { plan: stored } = await buildPlan(options);
    const built = await buildPlan({ ...options, overrides: stored.overrides ?? {} });
    expect(() => assertPlanFresh(built, JSON.parse(JSON.stringify(stored)))).not.toThrow();
  });

  test('names the SQL file that changed after planning', async () => {
    const error = await staleness((folder) => writeFile(path.join(folder, 'sql/start.sql'), 'select 1;'));
    expect(error.code).toBe('plan_stale');
    expect(error.text.what).toBe('Since this plan was made: macros/widget/sql/start.sql changed.');
  });

  test('names files that the manifest names no longer, or newly', async () => {
    const error = await staleness(async (folder) => {
      const manifest = path.join(folder, 'macro.yaml');
      await writeFile(path.join(folder, 'sql/stop-2.sql'), 'select 1;');
      await writeFile(
        manifest,
        (await readFile(manifest, 'utf8')).replace('after: checks/gates.sql', 'after: sql/stop-2.sql'),
      );
    });
    expect(error.text.what).toMatch(/macros\/widget\/sql\/stop-2\.sql is new\.$/);
  });

  test('tells of the manifest when only that changed', async () => {
    const error = await staleness(async (folder) => {
      const manifest = path.join(folder, 'macro.yaml');
      await writeFile(manifest, (await readFile(manifest, 'utf8')).replace('window: 20s', 'window: 21s'));
    });
    expect(error.text.what).toBe('Since this plan was made: the manifest changed.');
  });
});

describe('macros', () => {
  test('are listed by name, a broken one with its problem', async () => {
    const root = await freshFolder();
    const manifest = (name: string) => ONE_MIGRATE.replace('macro: m', `macro: ${name}`);
    await writeFiles(root, {
      'one/zebra/macro.yaml': manifest('zebra'),
      'one/not-a-macro/README.md': '',
      'two/broken/macro.yaml': 'macro: broken\n',
    });
    const listed = await listMacros(['one', 'two', 'nowhere'].map((dir) => path.join(root, dir)));
    expect(listed).toMatchObject([
      { name: 'broken', title: null, problem: expect.stringMatching(/macro\.yaml:1:1/) },
      { name: 'zebra', title: 'One change', steps: 2, problem: null },
    ]);
  });

  test('are found by name or path; a name that two have is refused', async () => {
    const root = await freshFolder();
    await writeFiles(root, { 'one/a/macro.yaml': '', 'two/a/macro.yaml': '', 'two/b/macro.yaml': '' });
    const dirs = [path.join(root, 'one'), path.join(root, 'two')];
    expect(await findMacro('b', dirs)).toBe(path.join(root, 'two/b/macro.yaml'));
    expect(await findMacro('./one/a', dirs, root)).toBe(path.join(root, 'one/a/macro.yaml'));
    expect((await rejection(findMacro('a', dirs))).text.what).toBe('2 macros are named `a`.');
    expect((await rejection(findMacro('c', dirs))).text.expected).toBe('Macros: a, b.');
  });
});
