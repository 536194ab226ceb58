import { byPlace, type Problem, refuseProblems } from '../config/located-error.ts';
import { positionOfByte, positionOfCharacter } from '../config/source-position.ts';
import { inspectBody } from './inspect-body.ts';
import { type OutsideTransaction, outsideTransaction } from './outside-transaction.ts';
import { parseStatements, type TopStatement } from './parse-statements.ts';
import { parser } from './parser.ts';
import { refuseTransactionControl } from './refuse-transaction-control.ts';
import { routineBodies, withoutAtomicBodies } from './routine-body.ts';
import type { SqlFragment } from './sql-fragment.ts';
import { transactionControl } from './transaction-control.ts';
import { findNodes } from './walk-tree.ts';

/** A managed file that PostgreSQL's parser has accepted. */
export interface ParsedScript {
  readonly path: string;
  readonly text: string;
  /** Statements of the file itself; those in bodies are not counted. */
  readonly statementCount: number;
  /** Every statement, those in DO blocks and routine bodies too. */
  readonly fragments: readonly SqlFragment[];
  /** Statements that cannot run in a transaction. */
  readonly outside: readonly OutsideTransaction[];
  /** What could not be looked into, in words. */
  readonly notes: readonly string[];
}

/**
 * Parses a managed file and refuses what may not stand in one.
 *
 * @param path how errors name the file
 * @throws LocatedError `script_syntax` (broken SQL, psql commands, no statement, COPY with inline data) or
 * `script_transaction_control`, with every problem that was found, by line and column
 */
export async function parseScript(path: string, text: string): Promise<ParsedScript> {
  const { script, problems } = await inspectScript(path, text);
  refuseProblems(problems, 'Nothing was changed.');
  return script;
}

/** Like {@link parseScript}, but returns the problems; with a syntax error the script is empty. */
export async function inspectScript(
  path: string,
  text: string,
): Promise<{ readonly script: ParsedScript; readonly problems: readonly Problem[] }> {
  const loaded = await parser();
  const bytes = Buffer.from(text, 'utf8');
  const whole = parseStatements(loaded, path, text, (character) => positionOfCharacter(text, character));
  const bodies = whole.statements.flatMap(({ tree, offset, end }) => {
    const definition = bytes.subarray(offset, end).toString('utf8');
    return routineBodies(tree, bytes).map((body) =>
      inspectBody({ parser: loaded, file: path, bytes, body, definition }),
    );
  });
  const own = whole.statements.flatMap((statement) => ownFragments(statement, bytes));
  const fragments = [...own, ...bodies.flatMap((body) => body.fragments)];
  const problems = [
    ...(whole.problem === null ? [] : [whole.problem]),
    ...(whole.problem === null && whole.statements.length === 0 ? [refuseEmpty(path)] : []),
    ...bodies.flatMap((body) => body.problems),
    ...fragments.flatMap((fragment) => [
      ...refuseControl(path, fragment),
      ...refuseInlineData(path, fragment),
    ]),
  ];
  const script: ParsedScript = {
    path,
    text,
    statementCount: whole.statements.length,
    fragments,
    outside: own.flatMap(outsideTransaction),
    notes: bodies.flatMap((body) => body.notes),
  };
  return { script, problems: problems.sort(byPlace) };
}

/** The statement itself and, where it defines routines, what stands in BEGIN ATOMIC. */
function ownFragments({ tree, offset }: TopStatement, bytes: Buffer): SqlFragment[] {
  const locate = (location?: number | null) =>
    positionOfByte(bytes, location == null || location < 0 ? offset : location);
  const { outer, atomic } = withoutAtomicBodies(tree);
  return [
    { tree: outer, scope: 'file', routine: '', locate },
    ...atomic.map(({ name, body }): SqlFragment => ({ tree: body, scope: 'routine', routine: name, locate })),
  ];
}

function refuseControl(file: string, fragment: SqlFragment): Problem[] {
  return transactionControl(fragment.tree).map(({ word, location }) =>
    refuseTransactionControl(file, word, fragment.locate(location)),
  );
}

function refuseInlineData(file: string, fragment: SqlFragment): Problem[] {
  return findNodes(fragment.tree, 'CopyStmt')
    .filter((copy) => copy.filename === undefined && copy.is_program !== true)
    .map(({ is_from }) => ({
      code: 'script_syntax',
      file,
      ...fragment.locate(),
      what: `COPY ${is_from ? 'FROM STDIN' : 'TO STDOUT'} stands in a managed file, where no client sends or takes the data.`,
      expected: 'Use INSERT … VALUES, or SELECT.',
    }));
}

function refuseEmpty(file: string): Problem {
  return {
    code: 'script_syntax',
    file,
    line: 1,
    column: 1,
    what: 'The file holds no SQL statement.',
    expected: 'Write the statement, or remove the file from the manifest.',
  };
}
