import type { CreateFunctionStmt, DefElem, DoStmt } from 'libpg-query';
import { skipBlank } from './skip-blank.ts';
import { findNodes } from './walk-tree.ts';

/** The body of a DO block or of a function or procedure, when it is given as a text. */
export interface RoutineBody {
  /** `do` runs where it stands; a routine runs when something calls it. */
  readonly kind: 'do' | 'routine';
  /** Last part of the routine's name; empty for a DO block. */
  readonly name: string;
  readonly language: string;
  readonly text: string;
  /** Byte offset in the file where the text begins, behind its opening quote. */
  readonly offset: number;
}

/** The textual bodies directly in one statement of a file. */
export function routineBodies(statement: unknown, bytes: Buffer): RoutineBody[] {
  const blocks = findNodes(statement, 'DoStmt').map((node) => doBody(node, bytes));
  const routines = findNodes(statement, 'CreateFunctionStmt').map((node) => routineBody(node, bytes));
  return [...blocks, ...routines].filter((body) => body !== null);
}

/** A statement without the bodies that it defines in BEGIN ATOMIC, and these by the routine's name. */
export function withoutAtomicBodies(statement: unknown): {
  readonly outer: unknown;
  readonly atomic: readonly { readonly name: string; readonly body: unknown }[];
} {
  const [node] = findNodes(statement, 'CreateFunctionStmt');
  if (node?.sql_body === undefined) return { outer: statement, atomic: [] };
  const { sql_body, ...rest } = node;
  const name = stringOf(node.funcname?.at(-1)) ?? '';
  return { outer: { CreateFunctionStmt: rest }, atomic: [{ name, body: [sql_body] }] };
}

function doBody(node: DoStmt, bytes: Buffer): RoutineBody | null {
  const options = defElems(node.args);
  return bodyOf('do', '', options, bytes);
}

function routineBody(node: CreateFunctionStmt, bytes: Buffer): RoutineBody | null {
  const name = node.funcname?.at(-1);
  return bodyOf('routine', stringOf(name) ?? '', defElems(node.options), bytes);
}

function bodyOf(
  kind: RoutineBody['kind'],
  name: string,
  options: readonly DefElem[],
  bytes: Buffer,
): RoutineBody | null {
  const as = options.find((option) => option.defname === 'as');
  const text = firstString(as?.arg);
  if (as === undefined || text === null) return null;
  const language = options.find((option) => option.defname === 'language');
  return {
    kind,
    name,
    language: (firstString(language?.arg) ?? (kind === 'do' ? 'plpgsql' : 'sql')).toLowerCase(),
    text,
    offset: offsetBehindQuote(bytes, as.location ?? 0),
  };
}

/** The option begins with AS or, in a DO block, with the text itself. */
function offsetBehindQuote(bytes: Buffer, location: number): number {
  const word = bytes
    .subarray(location, location + 2)
    .toString('latin1')
    .toLowerCase();
  const start = skipBlank(bytes, word === 'as' ? location + 2 : location);
  const opening = /^(?:\$[^$'\s]*\$|[eE]?')/.exec(bytes.subarray(start, start + 80).toString('latin1'));
  return start + (opening?.[0].length ?? 0);
}

function defElems(options: unknown): readonly DefElem[] {
  return findNodes(options, 'DefElem');
}

function firstString(value: unknown): string | null {
  return findNodes(value, 'String')[0]?.sval ?? null;
}

function stringOf(value: unknown): string | null {
  return firstString(value === undefined ? [] : [value]);
}
