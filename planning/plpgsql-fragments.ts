import { positionOfByte, type SourcePosition } from '../config/source-position.ts';
import { executedTexts } from './executed-texts.ts';
import type { Parser } from './parser.ts';
import type { RoutineBody } from './routine-body.ts';
import type { SqlFragment } from './sql-fragment.ts';

/** What a PL/pgSQL body holds; `error` is the parser's word where it could not read the body. */
export interface PlpgsqlReading {
  readonly fragments: readonly SqlFragment[];
  /** COMMIT and ROLLBACK as statements of the language. */
  readonly transactionControl: readonly { readonly word: string; readonly position: SourcePosition }[];
  readonly error: string | null;
}

/**
 * The SQL inside a PL/pgSQL body.
 *
 * @param definition the DO or CREATE FUNCTION statement that the body belongs to
 */
export function plpgsqlFragments(
  parser: Parser,
  definition: string,
  body: RoutineBody,
  bytes: Buffer,
): PlpgsqlReading {
  let tree: unknown;
  try {
    tree = parser.parsePlPgSQLSync(withoutRowTypes(definition));
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return { fragments: [], transactionControl: [], error: message };
  }
  const found = collect(tree, 1, []);
  const written = found
    .filter((item) => item.tag === 'PLpgSQL_expr')
    .flatMap((item) => fragmentsOf(parser, item, body, bytes));
  const executed = found.flatMap((item) =>
    executedTexts(parser, item).flatMap((sql) => {
      const locate = () => place(body, bytes, item.line);
      return statements(parser, sql).map((tree) => ({ tree, scope: body.kind, routine: body.name, locate }));
    }),
  );
  const transactionControl = found
    .filter((item) => item.tag === 'PLpgSQL_stmt_commit' || item.tag === 'PLpgSQL_stmt_rollback')
    .map((item) => {
      const word = item.tag === 'PLpgSQL_stmt_commit' ? 'COMMIT' : 'ROLLBACK';
      return { word, position: place(body, bytes, item.line, word) };
    });
  return { fragments: [...written, ...executed], transactionControl, error: null };
}

/** Without a catalog the parser does not know what columns `t%rowtype` has; a record may have any. */
function withoutRowTypes(definition: string): string {
  return definition.replace(/(?:"[^"\n]+"|[\w$]+)(?:\.(?:"[^"\n]+"|[\w$]+))*\s*%\s*rowtype\b/gi, 'record');
}

interface Item {
  readonly tag: string;
  readonly fields: object;
  /** Line of the body, counted from 1. */
  readonly line: number;
}

function collect(value: unknown, line: number, into: Item[]): Item[] {
  if (Array.isArray(value)) {
    for (const member of value) collect(member, line, into);
  } else if (typeof value === 'object' && value !== null) {
    for (const [tag, fields] of Object.entries(value)) {
      if (typeof fields !== 'object' || fields === null) continue;
      const own: unknown = Reflect.get(fields, 'lineno');
      const here = typeof own === 'number' && own > 0 ? own : line;
      if (tag.startsWith('PLpgSQL_')) into.push({ tag, fields, line: here });
      collect(fields, here, into);
    }
  }
  return into;
}

function fragmentsOf(parser: Parser, item: Item, body: RoutineBody, bytes: Buffer): SqlFragment[] {
  const query: unknown = Reflect.get(item.fields, 'query');
  if (typeof query !== 'string') return [];
  const start = body.text.indexOf(query, unitOfLine(body.text, item.line));
  const { sql, shift } = asStatement(query, Reflect.get(item.fields, 'parseMode'));
  const locate = (location?: number | null): SourcePosition => {
    if (start === -1) return place(body, bytes, item.line);
    const inside = Math.max(0, (location ?? 0) - shift);
    return positionOfByte(bytes, body.offset + Buffer.byteLength(body.text.slice(0, start)) + inside);
  };
  return statements(parser, sql).map((tree) => ({ tree, scope: body.kind, routine: body.name, locate }));
}

/** Parse mode 0 is a statement, 2 an expression, 3 and above an assignment. */
function asStatement(query: string, mode: unknown): { sql: string; shift: number } {
  if (mode === undefined || mode === 0) return { sql: query, shift: 0 };
  const assigned = mode === 2 ? query : query.replace(/^.*?:?=/s, (target) => ' '.repeat(target.length));
  return { sql: `select ${assigned}`, shift: 'select '.length };
}

/** The language's own parser has accepted the text, so what the other cannot read is left out. */
function statements(parser: Parser, sql: string): unknown[] {
  try {
    return (parser.parseSync(sql).stmts ?? []).map((statement) => statement.stmt);
  } catch {
    return [];
  }
}

function place(body: RoutineBody, bytes: Buffer, line: number, word = ''): SourcePosition {
  const start = unitOfLine(body.text, line);
  const end = body.text.indexOf('\n', start);
  const text = body.text.slice(start, end === -1 ? undefined : end);
  const inLine = word === '' ? text.search(/\S/) : text.search(new RegExp(`\\b${word}\\b`, 'i'));
  const before = body.text.slice(0, start + Math.max(0, inLine));
  return positionOfByte(bytes, body.offset + Buffer.byteLength(before));
}

function unitOfLine(text: string, line: number): number {
  let at = 0;
  for (let current = 1; current < line; current += 1) {
    const next = text.indexOf('\n', at);
    if (next === -1) return at;
    at = next + 1;
  }
  return at;
}
