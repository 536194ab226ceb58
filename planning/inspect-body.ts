import type { Problem } from '../config/located-error.ts';
import { positionOfByte, type SourcePosition } from '../config/source-position.ts';
import { parseStatements } from './parse-statements.ts';
import type { Parser } from './parser.ts';
import { plpgsqlFragments } from './plpgsql-fragments.ts';
import { refuseTransactionControl } from './refuse-transaction-control.ts';
import type { RoutineBody } from './routine-body.ts';
import type { SqlFragment } from './sql-fragment.ts';

/** What a body holds, and what is wrong with it. */
export interface InspectedBody {
  readonly fragments: readonly SqlFragment[];
  readonly problems: readonly Problem[];
  readonly notes: readonly string[];
}

/** A body and the file that it stands in. */
export interface BodyInFile {
  readonly parser: Parser;
  readonly file: string;
  readonly bytes: Buffer;
  readonly body: RoutineBody;
  /** The DO or CREATE statement that the body belongs to. */
  readonly definition: string;
}

/** Looks into a body in SQL or PL/pgSQL; one in another language is passed over. */
export function inspectBody(given: BodyInFile): InspectedBody {
  if (given.body.language === 'sql') return inspectSqlBody(given);
  if (given.body.language === 'plpgsql') return inspectPlpgsqlBody(given);
  return { fragments: [], problems: [], notes: [] };
}

function inspectSqlBody({ parser, file, bytes, body }: BodyInFile): InspectedBody {
  const inFile = (offset: number) => positionOfByte(bytes, body.offset + offset);
  const ofCharacter = (character: number) =>
    inFile(Buffer.byteLength(Array.from(body.text).slice(0, character).join('')));
  const { statements, problem } = parseStatements(parser, file, body.text, ofCharacter);
  const fragments = statements.map(({ tree, offset }): SqlFragment => {
    const locate = (location?: number | null) => inFile(location == null || location < 0 ? offset : location);
    return { tree, scope: body.kind, routine: body.name, locate };
  });
  return { fragments, problems: problem === null ? [] : [problem], notes: [] };
}

function inspectPlpgsqlBody(given: BodyInFile): InspectedBody {
  const { parser, file, bytes, body, definition } = given;
  const reading = plpgsqlFragments(parser, definition, body, bytes);
  const control = reading.transactionControl.map(({ word, position }) =>
    refuseTransactionControl(file, word, position),
  );
  if (reading.error === null) return { fragments: reading.fragments, problems: control, notes: [] };
  return { fragments: [], ...explainBodyError(given, reading.error) };
}

/** The parser knows no catalog, so what it says about variables and types is not an error of the file. */
function explainBodyError(
  { file, bytes, body }: BodyInFile,
  message: string,
): Omit<InspectedBody, 'fragments'> {
  const start = positionOfByte(bytes, body.offset);
  const inBody = (unit: number) =>
    positionOfByte(bytes, body.offset + Buffer.byteLength(body.text.slice(0, unit)));
  if (/ at or near | at end of input$|^unterminated|^mismatched|^unexpected end/.test(message)) {
    const what = `In the PL/pgSQL body that begins at line ${start.line}: ${message}.`;
    const position = placeOfError(body.text, message, inBody) ?? start;
    return {
      problems: [{ code: 'script_syntax', file, ...position, what, expected: 'Correct the body.' }],
      notes: [],
    };
  }
  const control = controlWord(body.text);
  const note = `${file}:${start.line}: this PL/pgSQL body was only searched for COMMIT and ROLLBACK (${message})`;
  return {
    problems: control === null ? [] : [refuseTransactionControl(file, control.word, inBody(control.unit))],
    notes: [note],
  };
}

/** The parser gives no place, but often the word; where the body has it once, that is the place. */
function placeOfError(
  text: string,
  message: string,
  inBody: (unit: number) => SourcePosition,
): SourcePosition | null {
  const near = / at or near "(.*)"$/s.exec(message)?.[1];
  if (near === undefined || text.split(near).length !== 2) return null;
  return inBody(text.indexOf(near));
}

/** A COMMIT or ROLLBACK that stands as a statement, looked for in the bare text. */
function controlWord(body: string): { word: string; unit: number } | null {
  const bare = body.replace(/--[^\n]*|\/\*.*?\*\/|'(?:[^']|'')*'/gs, (blank) => blank.replace(/[^\n]/g, ' '));
  const match = /(?<=^|;|\bbegin|\bthen|\belse|\bloop)\s*(commit|rollback)\b/is.exec(bare);
  if (match?.[1] === undefined) return null;
  return { word: match[1].toUpperCase(), unit: match.index + match[0].length - match[1].length };
}
