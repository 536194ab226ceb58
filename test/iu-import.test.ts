import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { SluiceError } from '../contracts/error-codes.ts';
import { type ImportOptions, importMarkdown } from '../iu/import-markdown.ts';
import { readMarkdownFile } from '../iu/read-markdown-file.ts';
import { BASE_TEMPLATE } from './sql-units/base-files.ts';
import { createDatabase, type TestDatabase } from './support/create-database.ts';

const RUNBOOK = '# Runbook\n\nintro\n\n## Restart\n\n```sh\n# not a heading\n```\n\n## Stop\n\nhow\n';

describe.each([15, 18] as const)('importing Markdown into PostgreSQL %i', (major) => {
  let database: TestDatabase;
  let client: pg.Client;
  let root: string;
  beforeEach(async () => {
    database = await createDatabase({ major, template: BASE_TEMPLATE });
    client = await database.connect();
    root = mkdtempSync(join(tmpdir(), 'iu-import-'));
  });
  afterEach(async () => {
    rmSync(root, { recursive: true, force: true });
    await database.drop();
  });

  const write = (files: Record<string, string | Buffer>) => {
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(root, 'docs', path)), { recursive: true });
      writeFileSync(join(root, 'docs', path), text);
    }
  };
  const run = (more: Partial<ImportOptions> = {}, on: pg.Client = client) =>
    importMarkdown(on, { dir: join(root, 'docs'), actor: 'ada', ...more });
  const column = async (sql: string, values: unknown[] = []) => {
    const { rows } = await client.query({ text: sql, values, rowMode: 'array' });
    return rows.map(([first]) => first);
  };
  const units = () => column('select unit_code from information_unit order by unit_code');
  const counts = async () => {
    const { rows } = await client.query(
      `select (select count(*)::int from information_unit) as units, (select count(*)::int from unit_version) as versions,
              (select count(*)::int from event_outbox) as events`,
    );
    return rows[0];
  };
  const failure = async (work: Promise<unknown>): Promise<SluiceError> => {
    const error = await work.then(
      () => new Error('nothing was refused'),
      (reason: unknown) => reason,
    );
    if (!(error instanceof SluiceError)) throw error;
    return error;
  };

  test('makes one unit of each section, with title, place and source, and no event', async () => {
    write({ 'runbook.md': RUNBOOK });
    expect(await run({ source: { commit: 'abc' } })).toEqual({
      files: 1,
      units: 3,
      created: 3,
      versionsAdded: 0,
      unchanged: 0,
      events: 0,
      missing: [],
      links: [],
    });
    const { rows } = await client.query(
      `select unit_code, document, title, lifecycle_status, path, depth, position, body, source, v.created_by
         from information_unit u join unit_version v on v.unit_id = u.id join iu_tree_path t on t.unit_id = u.id
        order by position`,
    );
    expect(rows).toMatchObject([
      { unit_code: 'docs/runbook.md#runbook', title: 'Runbook', path: 'docs/runbook.md#runbook', depth: 0 },
      {
        unit_code: 'docs/runbook.md#runbook/restart',
        document: 'docs/runbook.md',
        title: 'Restart',
        lifecycle_status: 'draft',
        path: 'docs/runbook.md#runbook>restart',
        depth: 1,
        position: 2,
        body: '## Restart\n\n```sh\n# not a heading\n```',
        source: { kind: 'markdown', path: 'runbook.md', lines: '5-9', commit: 'abc' },
        created_by: 'ada',
      },
      { unit_code: 'docs/runbook.md#runbook/stop' },
    ]);
  });

  test('a second import of the same folder adds nothing', async () => {
    write({ 'runbook.md': RUNBOOK, 'adr/0001.md': '# One\n' });
    await run();
    const before = await counts();
    expect(await run()).toMatchObject({ units: 4, created: 0, versionsAdded: 0, unchanged: 4, events: 0 });
    expect(await counts()).toEqual(before);
  });

  test('an edit becomes a version and an event only where the text changed', async () => {
    write({ 'runbook.md': RUNBOOK });
    await run();
    write({ 'runbook.md': `${RUNBOOK.replace('how', 'so')}\n## Added\n` });
    expect(await run()).toMatchObject({
      units: 4,
      created: 1,
      versionsAdded: 1,
      unchanged: 2,
      events: 1,
      missing: [],
    });
    expect(await column('select event_subject from event_outbox')).toEqual(['docs/runbook.md#runbook/stop']);
    expect(
      await column(`select body from unit_version v join information_unit u on u.id = v.unit_id
                     where unit_code = 'docs/runbook.md#runbook/stop' order by version_seq`),
    ).toEqual(['## Stop\n\nhow', '## Stop\n\nso']);
  });

  test('sections that only change places keep their addresses and get no version', async () => {
    write({ 'a.md': '# A\n## B\nb\n## C\nc\n' });
    await run();
    write({ 'a.md': '# A\n## C\nc\n## B\nb' });
    expect(await run()).toMatchObject({ created: 0, versionsAdded: 0, unchanged: 3, missing: [] });
    expect(
      await column('select label from iu_tree_path where parent_unit_id is not null order by position'),
    ).toEqual(['c', 'b']);
  });

  test('a renamed section is a new unit; the old one is listed as missing and kept', async () => {
    write({ 'a.md': '# A\n## Old\ntext\n' });
    await run();
    write({ 'a.md': '# A\n## New\ntext\n' });
    expect(await run()).toMatchObject({ created: 1, versionsAdded: 0, missing: ['docs/a.md#a/old'] });
    expect(await units()).toEqual(['docs/a.md#a', 'docs/a.md#a/new', 'docs/a.md#a/old']);
  });

  test('a heading written otherwise is the same unit with a new version and title', async () => {
    write({ 'a.md': '# The  title\n' });
    await run();
    write({ 'a.md': '# The *Title*\n' });
    expect(await run()).toMatchObject({ created: 0, versionsAdded: 1, missing: [] });
    expect(await column('select title from information_unit')).toEqual(['The Title']);
  });

  test('the units of a file that is gone are missing; those that were deprecated or excluded are not', async () => {
    write({ 'a.md': '# A', 'b.md': '# B', 'c/d.md': '# D', 'e.md': '# E' });
    await run();
    await client.query(`update information_unit set lifecycle_status = 'deprecated' where title = 'E'`);
    for (const gone of ['b.md', 'e.md']) rmSync(join(root, 'docs', gone));
    expect(await run()).toMatchObject({ files: 2, missing: ['docs/b.md#b'] });
    expect(await run({ exclude: ['c'] })).toMatchObject({ files: 1, missing: ['docs/b.md#b'] });
    expect(await run({ exclude: ['./c/', 'b.md'] })).toMatchObject({ files: 1, missing: [] });
    expect(await run({ prefix: 'docs2' })).toMatchObject({ created: 2, missing: [] });
  });

  test('the same prefix gives the same addresses wherever the folder lies', async () => {
    write({ 'a.md': '# A' });
    await run({ prefix: 'project/docs' });
    expect(await run({ prefix: '/project/docs/' })).toMatchObject({ unchanged: 1 });
    expect(await run({ prefix: '' })).toMatchObject({ created: 1, missing: ['project/docs/a.md#a'] });
    expect(await units()).toEqual(['a.md#a', 'project/docs/a.md#a']);
  });

  test('a unit that was moved on purpose keeps its place', async () => {
    write({ 'a.md': '# A\n## B\n# C\n' });
    await run();
    await client.query(
      `update iu_tree_path set parent_unit_id = (select unit_id from iu_tree_path where label = 'docs/a.md#c')
        where label = 'b'`,
    );
    write({ 'a.md': '# A\n## B\nmore\n### D\n# C\n' });
    expect(await run()).toMatchObject({ created: 1, versionsAdded: 1 });
    expect(await column('select path from iu_tree_path order by path')).toEqual([
      'docs/a.md#a',
      'docs/a.md#c',
      'docs/a.md#c>b',
      'docs/a.md#c>b>d',
    ]);
  });

  test('versions and events are lost together when the caller rolls back', async () => {
    write({ 'a.md': '# A\n' });
    await run();
    const before = await counts();
    write({ 'a.md': '# A\nmore\n', 'b.md': '# B' });
    await client.query('begin');
    expect(await run()).toMatchObject({ created: 1, versionsAdded: 1, events: 1 });
    await client.query('rollback');
    expect(await counts()).toEqual(before);
  });

  test('an event that is refused takes its file with it, and the files before it stay', async () => {
    write({ 'a.md': '# A\n', 'b.md': '# B\n## C\n' });
    await run();
    await client.query(`
      create function refuse_b() returns trigger language plpgsql as
        $$ begin raise exception 'refused here'; end $$;
      create trigger refuse_b before insert on event_outbox for each row
        when (new.event_subject = 'docs/b.md#b/c') execute function refuse_b();
      alter table event_outbox enable always trigger refuse_b`);
    write({ 'a.md': '# A\nmore', 'b.md': '# B\nmore\n## C\nmore' });
    const error = await failure(run());
    expect(error).toMatchObject({ code: 'import_invalid' });
    expect(error.message).toContain(`${join(root, 'docs', 'b.md')} was not imported: refused here`);
    expect(error.message).toContain('1 files before it are imported');
    expect(await column('select event_subject from event_outbox')).toEqual(['docs/a.md#a']);
    await client.query('drop trigger refuse_b on event_outbox');
    expect(await run()).toMatchObject({ versionsAdded: 2, unchanged: 1, events: 2 });
  });

  test('where the triggers are off (L3), versions are added, and no event is claimed', async () => {
    write({ 'a.md': '# A\n' });
    await run();
    await client.query('alter table unit_version disable trigger trg_iu_out_version');
    write({ 'a.md': '# A\nmore' });
    expect(await run()).toMatchObject({ versionsAdded: 1, events: 0 });
  });

  test('two imports of one folder at once add each text once', async () => {
    write(
      Object.fromEntries(Array.from({ length: 5 }, (_, n) => [`f${n}.md`, `# F\n${'## S\n'.repeat(40)}`])),
    );
    const others = await Promise.all([database.connect(), database.connect()]);
    const results = await Promise.all(others.map((other) => run({}, other)));
    expect(results.map(({ created }) => created).reduce((sum, n) => sum + n, 0)).toBe(205);
    expect(await counts()).toEqual({ units: 205, versions: 205, events: 0 });
  });

  test('an emitter without any other right can import', async () => {
    write({ 'a.md': '# A\n' });
    await client.query('set role iu_core_emitter');
    await run();
    write({ 'a.md': '# A\nmore' });
    expect(await run()).toMatchObject({ versionsAdded: 1, events: 1 });
    await client.query('set role iu_core_auditor');
    expect(await failure(run())).toMatchObject({ code: 'target_permission' });
    await client.query('reset role');
  });

  test('2,000 sections and their 2,000 edits take a few seconds', async () => {
    const folder = (text: string) =>
      Object.fromEntries(
        Array.from({ length: 20 }, (_, f) => [
          `f${f}.md`,
          Array.from({ length: 100 }, (_, s) => `## Section ${s}\n\n${text.repeat(40)}\n\n`).join(''),
        ]),
      );
    write(folder('one '));
    const startedAt = performance.now();
    expect(await run()).toMatchObject({ units: 2000, created: 2000 });
    write(folder('two '));
    expect(await run()).toMatchObject({ versionsAdded: 2000, events: 2000 });
    expect(performance.now() - startedAt).toBeLessThan(10_000);
  });

  test('takes .md and .markdown of any depth; leaves links, dot folders, node_modules and the rest alone', async () => {
    write({
      'x/y/a.MD': '# A',
      'b.markdown': 'only text',
      'c.txt': '# C',
      '.git/d.md': '# D',
      'node_modules/e.md': '# E',
    });
    write({ 'we#ird>.md': '# W', 'empty.md': '' });
    symlinkSync(join(root, 'docs', 'b.markdown'), join(root, 'docs', 'link.md'));
    symlinkSync(join(root, 'docs'), join(root, 'docs', 'loop'));
    expect(await run()).toMatchObject({ files: 3, links: ['link.md'] });
    expect(await units()).toEqual(['docs/b.markdown', 'docs/we%23ird%3E.md#w', 'docs/x/y/a.MD#a']);
  });

  describe('bad input changes nothing and names file and line', () => {
    test.each<[string, string | Buffer, string, string]>([
      [
        'bytes that are not UTF-8',
        Buffer.from('# A\nok\n\xff\xfe\n', 'latin1'),
        ':3: bytes that are not UTF-8',
        'UTF-8 was expected',
      ],
      ['a NUL byte', '# A\n\nx\0y\n', ':3: a NUL byte', 'Text was expected'],
      [
        'an address that is too long',
        Array.from({ length: 6 }, (_, n) => `${'#'.repeat(n + 1)} ${'語'.repeat(119)}${n}\n`).join(''),
        ':6: the address of this section has',
        'at most 2000 bytes',
      ],
    ])('%s', async (_what, text, where, expected) => {
      write({ 'a.md': '# Fine', 'z.md': text });
      const error = await failure(run());
      expect(error.code).toBe('import_invalid');
      expect(error.message).toContain(join(root, 'docs', 'z.md') + where);
      expect(error.message).toContain(expected);
      expect(await counts()).toEqual({ units: 0, versions: 0, events: 0 });
      rmSync(join(root, 'docs', 'z.md'));
      expect(await run()).toMatchObject({ created: 1 });
    });

    test('a folder that is missing, or no folder', async () => {
      expect(await failure(run())).toMatchObject({
        code: 'usage',
        text: { what: `${join(root, 'docs')} does not exist.` },
      });
      write({ 'a.md': '# A' });
      const file = await failure(run({ dir: join(root, 'docs', 'a.md') }));
      expect(file).toMatchObject({
        code: 'usage',
        text: { what: `${join(root, 'docs', 'a.md')} is not a folder.` },
      });
      expect(await failure(run({ actor: ' ' }))).toMatchObject({ code: 'usage' });
    });

    test('a file that cannot be read', async () => {
      write({ 'a.md': '# A' });
      const gone = await failure(readMarkdownFile(join(root, 'docs', 'gone.md')));
      expect(gone).toMatchObject({ code: 'import_invalid' });
      expect(gone.message).toContain(join(root, 'docs', 'gone.md'));
    });

    test('a schema without IU Core', async () => {
      write({ 'a.md': '# A' });
      expect(await failure(run({ schema: 'pg_catalog' }))).toMatchObject({ code: 'iu_core_missing' });
      expect(await run({ schema: 'public' })).toMatchObject({ created: 1 });
    });
  });
});
