import { readFile, writeFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { readManifest } from '../planning/read-manifest.ts';
import { problemsOf, rejection } from './fixtures/planning/rejection.ts';
import { copyWidget, ONE_MIGRATE, writeMacro } from './fixtures/planning/write-macro.ts';

/** Problems of a manifest that is the good one with one text replaced. */
async function problemsWith(from: string | RegExp, to: string) {
  const changed = ONE_MIGRATE.replace(from, to);
  if (changed === ONE_MIGRATE) throw new Error(`nothing to replace: ${from}`);
  return problemsOf(readManifest(await writeMacro({ 'macro.yaml': changed })));
}

describe('readManifest', () => {
  test('reads every kind of step', async () => {
    const { manifest } = await readManifest(await copyWidget());
    const kinds = manifest.steps.map((step) => step.kind);
    expect(new Set(kinds).size).toBe(9);
    expect(manifest).toMatchObject({ macro: 'widget', lifts: [], next: 'widget-live' });
  });

  test('accepts the manifest that the bad ones are made from', async () => {
    await expect(readManifest(await writeMacro({ 'macro.yaml': ONE_MIGRATE }))).resolves.toBeDefined();
  });

  test('names an unknown key with its line and column, and the key that was meant', async () => {
    const [problem, ...others] = await problemsWith(
      '    title: Change',
      '    title: Change\n    hold: x.sql',
    );
    expect(others).toEqual([]);
    expect(problem).toMatchObject({
      code: 'manifest_invalid',
      place: 'macro.yaml:10:5',
      what: 'Unknown key `hold`.',
    });
    expect(problem?.expected).toMatch(
      /^Did you mean `holds`\? Known keys here: id, title, on_fail, kind, files,/,
    );
  });

  test('names an unknown kind of step, and lists the known ones', async () => {
    const [problem] = await problemsWith('kind: migrate', 'kind: migrat');
    expect(problem).toMatchObject({ place: 'macro.yaml:8:11', what: 'Unknown kind `migrat`.' });
    expect(problem?.expected).toMatch(
      /^Did you mean `migrate`\? Known kinds: check, verify, backup, migrate,/,
    );
  });

  test('says which key is missing, at the step that lacks it', async () => {
    const [problem] = await problemsWith('    title: Change\n', '');
    expect(problem).toMatchObject({ place: 'macro.yaml:7:5', what: '`steps.1.title` is missing.' });
  });

  test('refuses a migrate without an undo, by its own code', async () => {
    const [problem] = await problemsWith(', undo: b.sql', '');
    expect(problem).toMatchObject({
      code: 'script_without_undo',
      place: 'macro.yaml:11:9',
      what: '`a.sql` has no undo.',
    });
    const error = await rejection(
      readManifest(await writeMacro({ 'macro.yaml': ONE_MIGRATE.replace(', undo: b.sql', '') })),
    );
    expect(error.code).toBe('script_without_undo');
    expect(error.message).toMatch(
      /macro\.yaml:11:9: `a\.sql` has no undo\. Add undo: .* Nothing was changed\.$/,
    );
  });

  test('refuses an enable without an undo', async () => {
    const manifest = ONE_MIGRATE.replace('kind: migrate', 'kind: enable').replace(', undo: b.sql', '');
    const [problem] = await problemsOf(readManifest(await writeMacro({ 'macro.yaml': manifest })));
    expect(problem?.code).toBe('script_without_undo');
  });

  test('accepts a step without undo that is irreversible with a reason', async () => {
    const manifest = `${ONE_MIGRATE.replace(', undo: b.sql', '')}    irreversible: true\n    reason: "A type gets a label"\n`;
    await expect(readManifest(await writeMacro({ 'macro.yaml': manifest }))).resolves.toBeDefined();
    const [problem] = await problemsOf(
      readManifest(await writeMacro({ 'macro.yaml': manifest.replace(/ {4}reason.*\n/, '') })),
    );
    expect(problem?.what).toBe('The step is called irreversible without a reason.');
  });

  test('refuses an id that is given twice, a disable step included', async () => {
    const [twice] = await problemsWith('id: change', 'id: backup');
    expect(twice).toMatchObject({ place: 'macro.yaml:7:9', what: 'The id `backup` is given twice.' });
    const [disable] = await problemsWith(/$/, 'disable:\n  - { id: change, title: Off, file: c.sql }\n');
    expect(disable).toMatchObject({ place: 'macro.yaml:13:11' });
  });

  test.each(['24', '24 h', '1.5h', 'P1D', '-1s', '1d'])('refuses %s as a duration', async (text) => {
    const [problem] = await problemsWith(/$/, `  - { id: a, kind: approve, title: A, expires: "${text}" }\n`);
    expect(problem).toMatchObject({ place: 'macro.yaml:12:48', what: '`steps.2.expires` is not valid.' });
  });

  test('refuses a change without an earlier backup, and takes none with a reason for one', async () => {
    const [problem] = await problemsWith(/ {2}- id: backup\n.*\n.*\n/, '');
    expect(problem).toMatchObject({
      place: 'macro.yaml:4:5',
      what: 'This migrate step has no backup before it.',
    });
    const [silent] = await problemsWith('title: Backup', 'title: Backup\n    mode: none');
    expect(silent?.what).toBe('No backup is taken, and no reason is given.');
    const reasoned = ONE_MIGRATE.replace(
      'title: Backup',
      'title: Backup\n    mode: none\n    reason: scratch',
    );
    await expect(readManifest(await writeMacro({ 'macro.yaml': reasoned }))).resolves.toBeDefined();
  });

  test('refuses a name that is not the folder’s', async () => {
    const [problem] = await problemsWith('macro: m', 'macro: other');
    expect(problem).toMatchObject({ place: 'macro.yaml:1:8' });
  });

  test('refuses an action that nobody can lift', async () => {
    const [problem] = await problemsWith('steps:', 'lifts: [dry-run-fals]\nsteps:');
    expect(problem).toMatchObject({ place: 'macro.yaml:3:9' });
    expect(problem?.expected).toMatch(/^Did you mean `dry-run-false`\?/);
  });

  test.each([
    ['window: 20s', 'window: 500ms', 'The window is shorter than the interval.'],
    ['interval: 1s', 'interval: 0s', 'The interval is zero.'],
    ['pass: { max: 0 }', 'pass: {}', 'The limit has no bound.'],
    ['fail: { max: 100 }', 'fail: { max: -1 }', 'A passing value lies outside the fail limits.'],
    [
      'consecutive_success: 3',
      'consecutive_success: 30',
      'The window holds 21 samples, fewer than must pass in a row.',
    ],
    ['batchSize: 500', 'target: x', 'The input names a target.'],
    ['files: [checks/gates.sql]', 'files: []', '`steps.0.files` is not valid.'],
    ['files: [checks/gates.sql]', 'files: [/etc/passwd]', '`steps.0.files.0` is not valid.'],
    ['expires: 24h', 'expires: 0s', 'The approval expires at once.'],
  ])('refuses %s changed to %s', async (from, to, what) => {
    const manifestPath = await copyWidget();
    await writeFile(manifestPath, (await readFile(manifestPath, 'utf8')).replace(from, to));
    const problems = await problemsOf(readManifest(manifestPath));
    expect(problems.map((problem) => problem.what)).toContain(what);
  });

  test('collects every problem, in the order of the file', async () => {
    const manifest = ONE_MIGRATE.replace('title: One change', 'titel: One change')
      .replace('kind: backup', 'kind: backupp')
      .replace(', undo: b.sql', '');
    const problems = await problemsOf(readManifest(await writeMacro({ 'macro.yaml': manifest })));
    expect(problems.map((problem) => problem.place)).toEqual([
      'macro.yaml:1:1',
      'macro.yaml:2:1',
      'macro.yaml:5:11',
      'macro.yaml:11:9',
    ]);
  });

  test.each([
    ['a tab', 'macro: m\n\ttitle: x\n', 'macro.yaml:2:1'],
    ['a key given twice', 'macro: m\nmacro: n\n', 'macro.yaml:2:1'],
    ['an open quote', 'macro: "m\n', 'macro.yaml:2:1'],
  ])('places what YAML itself refuses: %s', async (_, text, place) => {
    const [problem] = await problemsOf(readManifest(await writeMacro({ 'macro.yaml': text })));
    expect(problem).toMatchObject({ code: 'manifest_invalid', place });
  });

  test.each(['', '- a\n', 'text\n'])('refuses a document that is no mapping: %j', async (text) => {
    const problems = await problemsOf(readManifest(await writeMacro({ 'macro.yaml': text })));
    expect(problems.length).toBeGreaterThan(0);
  });

  test('counts columns in characters', async () => {
    const manifest = ONE_MIGRATE.replace('{ do: a.sql, undo: b.sql }', '{ do: "ä😀.sql", undoo: b.sql }');
    const problems = await problemsOf(readManifest(await writeMacro({ 'macro.yaml': manifest })));
    expect(problems.map((problem) => problem.place)).toContain('macro.yaml:11:25');
  });

  test('says so when the manifest itself is not there', async () => {
    const error = await rejection(readManifest('/nowhere/m/macro.yaml'));
    expect(error.code).toBe('script_missing');
  });
});
