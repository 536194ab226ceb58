import type { Problem } from '../config/located-error.ts';
import type { SourcePosition } from '../config/source-position.ts';
import { explainSyntaxError } from './explain-syntax-error.ts';
import type { Parser } from './parser.ts';
import { skipBlank } from './skip-blank.ts';

/** A statement of a text; both offsets in UTF-8 bytes, the first without blanks and comments before it. */
export interface TopStatement {
  readonly tree: unknown;
  readonly offset: number;
  readonly end: number;
}

/**
 * The statements of a SQL text, or its syntax error.
 *
 * @param positionOf place in the file of an offset in the text, in characters
 */
export function parseStatements(
  parser: Parser,
  file: string,
  text: string,
  positionOf: (character: number) => SourcePosition,
): { readonly statements: readonly TopStatement[]; readonly problem: Problem | null } {
  if (text.trim() === '') return { statements: [], problem: null };
  const bytes = Buffer.from(text, 'utf8');
  try {
    const statements = (parser.parseSync(text).stmts ?? []).map(({ stmt, stmt_location = 0, stmt_len }) => ({
      tree: stmt,
      offset: skipBlank(bytes, stmt_location),
      end: stmt_len ? stmt_location + stmt_len : bytes.length,
    }));
    return { statements, problem: null };
  } catch (error) {
    if (!parser.hasSqlDetails(error)) throw error;
    const at = error.sqlDetails?.cursorPosition ?? 0;
    const problem = { code: 'script_syntax', file, ...positionOf(at) } as const;
    return { statements: [], problem: { ...problem, ...explainSyntaxError(error.message, text, at) } };
  }
}
