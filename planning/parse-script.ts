import { LocatedError, type Problem } from '../config/located-error.ts';
import { positionOfByte, positionOfCharacter, type SourcePosition } from '../config/source-position.ts';
import { explainSyntaxError } from './explain-syntax-error.ts';
import { type OutsideTransaction, outsideTransaction } from './outside-transaction.ts';
import { type Parser, parser } from './parser.ts';
import { plpgsqlFragments } from './plpgsql-fragments.ts';
import { type RoutineBody, routineBodies } from './routine-body.ts';
import { skipBlank } from './skip-blank.ts';
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
  const [first, ...others] = problems;
  if (first !== undefined) throw new LocatedError([first, ...others], 'Nothing was changed.');
  return script;
}

/** Like {@link parseScript}, but returns the problems; with a syntax error the script is empty. */
export async function inspectScript(
  path: string,
  text: string,
): Promise<{ readonly script: ParsedScript; readonly problems: readonly Problem[] }> {
  return new Inspection(await parser(), path, text).run();
}

class Inspection {
  private readonly problems: Problem[] = [];
  private readonly fragments: SqlFragment[] = [];
  private readonly notes: string[] = [];
  private readonly bytes: Buffer;
  private readonly parser: Parser;
  private readonly path: string;
  private readonly text: string;

  constructor(parser: Parser, path: string, text: string) {
    this.parser = parser;
    this.path = path;
    this.text = text;
    this.bytes = Buffer.from(text, 'utf8');
  }

  run(): { script: ParsedScript; problems: Problem[] } {
    const statements = this.parse(this.text, (character) => positionOfCharacter(this.text, character));
    for (const { tree, offset, end } of statements) this.inspect(tree, offset, end);
    if (statements.length === 0 && this.problems.length === 0) {
      this.add(
        'script_syntax',
        { line: 1, column: 1 },
        'The file holds no SQL statement.',
        'Write the statement, or remove the file from the manifest.',
      );
    }
    for (const fragment of this.fragments) {
      for (const { word, location } of transactionControl(fragment.tree))
        this.refuseTransaction(word, fragment.locate(location));
      this.refuseInlineData(fragment);
    }
    const inFile = this.fragments.filter((fragment) => fragment.scope === 'file');
    const script: ParsedScript = {
      path: this.path,
      text: this.text,
      statementCount: statements.length,
      fragments: this.fragments,
      outside: inFile.flatMap(outsideTransaction),
      notes: this.notes,
    };
    return { script, problems: this.problems.sort((a, b) => a.line - b.line || a.column - b.column) };
  }

  private inspect(tree: unknown, offset: number, end: number): void {
    const locate = (location?: number | null): SourcePosition =>
      positionOfByte(
        this.bytes,
        location === undefined || location === null || location < 0 ? offset : location,
      );
    this.fragments.push({ tree, scope: 'file', routine: '', locate });
    for (const body of routineBodies(tree, this.bytes)) {
      if (body.language === 'sql') this.inspectSqlBody(body);
      if (body.language === 'plpgsql')
        this.inspectPlpgsqlBody(body, this.bytes.subarray(offset, end).toString('utf8'));
    }
  }

  private inspectSqlBody(body: RoutineBody): void {
    const inFile = (offset: number) => positionOfByte(this.bytes, body.offset + offset);
    const ofCharacter = (character: number) =>
      inFile(Buffer.byteLength(Array.from(body.text).slice(0, character).join('')));
    for (const { tree, offset } of this.parse(body.text, ofCharacter)) {
      const locate = (location?: number | null) =>
        inFile(location === undefined || location === null || location < 0 ? offset : location);
      this.fragments.push({ tree, scope: body.kind, routine: body.name, locate });
    }
  }

  private inspectPlpgsqlBody(body: RoutineBody, definition: string): void {
    const reading = plpgsqlFragments(this.parser, definition, body, this.bytes);
    this.fragments.push(...reading.fragments);
    for (const { word, position } of reading.transactionControl) this.refuseTransaction(word, position);
    if (reading.error !== null) this.explainBodyError(body, reading.error);
  }

  /** The parser knows no catalog, so what it says about variables and types is not an error of the file. */
  private explainBodyError(body: RoutineBody, message: string): void {
    const start = positionOfByte(this.bytes, body.offset);
    if (/ at or near | at end of input$|^unterminated|^mismatched|^unexpected end/.test(message)) {
      const near = / at or near "(.*)"$/s.exec(message)?.[1];
      const once = near !== undefined && body.text.split(near).length === 2;
      const position = once
        ? positionOfByte(
            this.bytes,
            body.offset + Buffer.byteLength(body.text.slice(0, body.text.indexOf(near))),
          )
        : start;
      this.add(
        'script_syntax',
        position,
        `In the PL/pgSQL body that begins at line ${start.line}: ${message}.`,
        'Correct the body.',
      );
      return;
    }
    const control = controlWord(body.text);
    if (control !== null) {
      this.refuseTransaction(
        control.word,
        positionOfByte(this.bytes, body.offset + Buffer.byteLength(body.text.slice(0, control.at))),
      );
    }
    this.notes.push(
      `${this.path}:${start.line}: this PL/pgSQL body was only searched for COMMIT and ROLLBACK (${message})`,
    );
  }

  private parse(text: string, positionOf: (character: number) => SourcePosition) {
    if (text.trim() === '') return [];
    const bytes = Buffer.from(text, 'utf8');
    try {
      return (this.parser.parseSync(text).stmts ?? []).map(({ stmt, stmt_location, stmt_len }) => {
        const start = stmt_location ?? 0;
        return {
          tree: stmt,
          offset: skipBlank(bytes, start),
          end: stmt_len ? start + stmt_len : bytes.length,
        };
      });
    } catch (error) {
      if (!this.parser.hasSqlDetails(error)) throw error;
      const at = error.sqlDetails?.cursorPosition ?? 0;
      const { what, expected } = explainSyntaxError(error.message, text, at);
      this.add('script_syntax', positionOf(at), what, expected);
      return [];
    }
  }

  private refuseTransaction(word: string, position: SourcePosition): void {
    this.add(
      'script_transaction_control',
      position,
      `${word} stands in a managed file.`,
      'Remove it; the engine opens and ends the transaction of every file.',
    );
  }

  private refuseInlineData(fragment: SqlFragment): void {
    for (const copy of findNodes(fragment.tree, 'CopyStmt')) {
      if (copy.filename !== undefined || copy.is_program) continue;
      this.add(
        'script_syntax',
        fragment.locate(),
        `COPY ${copy.is_from ? 'FROM STDIN' : 'TO STDOUT'} stands in a managed file, where no client sends or takes the data.`,
        'Use INSERT … VALUES, or SELECT.',
      );
    }
  }

  private add(code: Problem['code'], position: SourcePosition, what: string, expected: string): void {
    this.problems.push({ code, file: this.path, ...position, what, expected });
  }
}

/** A COMMIT or ROLLBACK that stands as a statement, looked for in the bare text. */
function controlWord(body: string): { word: string; at: number } | null {
  const bare = body.replace(/--[^\n]*|\/\*.*?\*\/|'(?:[^']|'')*'/gs, (blank) => blank.replace(/[^\n]/g, ' '));
  const match = /(?<=^|;|\bbegin|\bthen|\belse|\bloop)\s*(commit|rollback)\b/is.exec(bare);
  if (match === null || match[1] === undefined) return null;
  return { word: match[1].toUpperCase(), at: match.index + match[0].length - match[1].length };
}
