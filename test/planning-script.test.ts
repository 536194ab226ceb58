import { describe, expect, test } from 'vitest';
import { parseScript } from '../planning/parse-script.ts';
import { problemsOf } from './fixtures/planning/rejection.ts';

const problemsIn = (text: string) => problemsOf(parseScript('sql/x.sql', text));

describe('a syntax error', () => {
  test('is placed by line and column', async () => {
    expect(await problemsIn('select 1;\nselect 1 frm x y;\n')).toMatchObject([
      {
        code: 'script_syntax',
        place: 'x.sql:2:14',
        what: `PostgreSQL's parser says: syntax error at or near "x".`,
      },
    ]);
  });

  test.each([
    ['two bytes', 'ä'],
    ['three bytes', '€'],
    ['four bytes', '😀'],
    ['a combined character', 'e\u0301'],
  ])('is placed by characters, with characters of %s before it', async (_, character) => {
    const problems = await problemsIn(`-- ${character.repeat(5)}\nselect '${character}' frm x y;`);
    const before = Array.from(`select '${character}' frm `).length;
    expect(problems).toMatchObject([{ line: 2, column: before + 1 }]);
  });

  test.each([
    ["select 'abc", 'x.sql:1:8'],
    ['select 1; /* open', 'x.sql:1:11'],
    ['select\n  $x$ open', 'x.sql:2:3'],
  ])('is placed where an unterminated text begins: %j', async (text, place) => {
    expect(await problemsIn(text)).toMatchObject([{ code: 'script_syntax', place }]);
  });

  test('in a PL/pgSQL body is found before the server sees it', async () => {
    const body = 'do $$\nbegin\n  update t set a = 1 whre b;\nend $$;';
    expect(await problemsIn(`-- ä\n${body}`)).toMatchObject([{ code: 'script_syntax', place: 'x.sql:4:22' }]);
  });

  test('in a SQL body is placed in the file', async () => {
    const text = "-- €€\ncreate function f() returns text language sql as $$\n  select 'ä' frm x y\n$$;";
    expect(await problemsIn(text)).toMatchObject([{ code: 'script_syntax', place: 'x.sql:3:18' }]);
  });
});

describe('what only psql understands', () => {
  test.each([
    ['\\i other.sql\nselect 1;', 'x.sql:1:1', '`\\i` is a command of psql, not SQL.'],
    ['select 1;\n\\set x 1\n', 'x.sql:2:1', '`\\set` is a command of psql, not SQL.'],
    ["select :'name';", 'x.sql:1:8', 'A variable of psql stands here, which nothing replaces.'],
    [
      'copy t from stdin;\n',
      'x.sql:1:1',
      'COPY FROM STDIN stands in a managed file, where no client sends or takes the data.',
    ],
    ['\ufeffselect 1;', 'x.sql:1:1', 'The file begins with a byte order mark.'],
    ['-- nothing\n', 'x.sql:1:1', 'The file holds no SQL statement.'],
    ['', 'x.sql:1:1', 'The file holds no SQL statement.'],
  ])('is refused in its own words: %j', async (text, place, what) => {
    expect(await problemsIn(text)).toMatchObject([{ code: 'script_syntax', place, what }]);
  });
});

describe('transaction control', () => {
  test.each([
    ['commit', 'COMMIT'],
    ['end', 'COMMIT'],
    ['begin', 'BEGIN'],
    ['start transaction', 'START TRANSACTION'],
    ['rollback', 'ROLLBACK'],
    ['abort', 'ROLLBACK'],
    ['savepoint s', 'SAVEPOINT'],
    ['rollback to s', 'ROLLBACK TO SAVEPOINT'],
    ['release s', 'RELEASE SAVEPOINT'],
    ["prepare transaction 'p'", 'PREPARE TRANSACTION'],
    ["commit prepared 'p'", 'COMMIT PREPARED'],
    ['set transaction read write', 'SET TRANSACTION'],
    ['set transaction_read_only = off', 'SET transaction_read_only'],
    ['set session characteristics as transaction read write', 'SET SESSION CHARACTERISTICS'],
  ])('%s is refused where it stands, behind comments and wide characters', async (statement, word) => {
    const problems = await problemsIn(
      `select 'äöü😀';\n/* € /* nested */ */ -- more\n  ${statement};\nselect 1;`,
    );
    expect(problems).toMatchObject([
      { code: 'script_transaction_control', place: 'x.sql:3:3', what: `${word} stands in a managed file.` },
    ]);
  });

  test.each([
    ['DO block', 'do $$\nbegin\n  if true then\n    commit;\n  end if;\nend $$', 'x.sql:5:5'],
    ['DO block in quotes', "do '\nbegin\n  rollback;\nend'", 'x.sql:4:3'],
    [
      'procedure',
      'create procedure p() language plpgsql as $fn$\nbegin\n  /* ä */ commit and chain;\nend $fn$',
      'x.sql:4:11',
    ],
    ['SQL procedure', "create procedure p() language sql as $$\n  select 'ä';\n  commit\n$$", 'x.sql:4:3'],
    ['BEGIN ATOMIC body', 'create procedure p() language sql begin atomic commit; end', 'x.sql:2:1'],
    ['savepoint in a DO block', 'do $$\nbegin\n  savepoint s;\nend $$', 'x.sql:4:3'],
    ['dynamic statement', "do $$\nbegin\n  execute 'commit';\nend $$", 'x.sql:4:3'],
    ['body that needs a catalog', 'do $$\nbegin\n  unknown.field := 1;\n  commit;\nend $$', 'x.sql:5:3'],
  ])('is refused in a body: %s', async (_, statement, place) => {
    const problems = await problemsIn(`select '€';\n${statement};`);
    expect(problems).toMatchObject([{ code: 'script_transaction_control', place }]);
  });

  test('set_config cannot make a READ ONLY transaction writable either', async () => {
    expect(await problemsIn("select set_config('transaction_read_only', 'off', true);")).toMatchObject([
      { code: 'script_transaction_control', place: 'x.sql:1:8' },
    ]);
  });

  test('the words are harmless as names, texts and comments', async () => {
    const text = `select 'commit; rollback' as "commit" /* commit; */;
      create table commit_log (on_commit text);
      create temporary table t (a int) on commit drop;
      do $$ begin raise notice 'commit;'; -- commit;
      end $$;`;
    const script = await parseScript('x.sql', text);
    expect(script.statementCount).toBe(4);
  });
});

describe('parseScript', () => {
  test('reads bodies that use row types, records and triggers without a catalog', async () => {
    const text = `create function f(p_a widget) returns trigger language plpgsql as $$
      declare v_row widget%rowtype; v_other public."Widget" % rowtype; v_any record;
      begin
        v_row.colour := 'red';
        select * into strict v_row from widget;
        for v_any in select 1 as a loop v_any.a := 2; end loop;
        return v_row;
      end $$;`.replace('p_a widget', '');
    const script = await parseScript('x.sql', text);
    expect(script.notes).toEqual([]);
    expect(script.fragments.length).toBeGreaterThan(3);
  });

  test('says what it could not look into', async () => {
    const script = await parseScript('x.sql', 'do $$ begin unknown.field := 1; end $$;');
    expect(script.notes).toEqual([expect.stringMatching(/^x\.sql:1: this PL\/pgSQL body was only searched/)]);
  });

  test.each([
    ['create index concurrently i on t (a)', 'CREATE INDEX CONCURRENTLY'],
    ['drop index concurrently i', 'DROP INDEX CONCURRENTLY'],
    ['reindex table concurrently t', 'REINDEX CONCURRENTLY'],
    ['vacuum t', 'VACUUM'],
    ['alter system set work_mem = 1', 'ALTER SYSTEM'],
    ['create database d', 'CREATE DATABASE'],
    ['drop database d', 'DROP DATABASE'],
    ['alter table t detach partition p concurrently', 'DETACH PARTITION CONCURRENTLY'],
    ["create tablespace s location '/x'", 'CREATE TABLESPACE'],
    ["create subscription s connection 'dbname=x' publication p", 'CREATE SUBSCRIPTION'],
  ])('knows that %s runs outside a transaction', async (statement, name) => {
    const script = await parseScript('x.sql', `select 1;\n${statement};`);
    expect(script.outside).toMatchObject([{ name, position: { line: 2, column: 1 } }]);
  });

  test.each(['create index i on t (a)', 'drop index i', 'reindex table t', 'analyze t', 'cluster t'])(
    'knows that %s runs in one',
    async (statement) => {
      expect((await parseScript('x.sql', statement)).outside).toEqual([]);
    },
  );
});
