import { type ErrorCodeName, SluiceError } from '../contracts/error-codes.ts';

/** One fault in a file. Line and column count from 1, the column in characters. */
export interface Problem {
  readonly code: ErrorCodeName;
  readonly file: string;
  readonly line: number;
  readonly column: number;
  /** What is true. */
  readonly what: string;
  /** What was expected, or what to do. */
  readonly expected: string;
}

/**
 * Every fault that was found, in one error: `problems` for programs, the three sentences for people. Its code is
 * that of the first problem.
 */
export class LocatedError extends SluiceError {
  readonly problems: readonly Problem[];
  constructor(problems: readonly [Problem, ...Problem[]], safe: string, options?: { cause?: unknown }) {
    const [first] = problems;
    super(
      first.code,
      problems.length === 1
        ? { what: `${place(first)}: ${first.what}`, expected: first.expected, safe }
        : { what: `${problems.length} faults were found.`, expected: `\n${list(problems)}\n`, safe },
      options,
    );
    this.name = 'LocatedError';
    this.problems = problems;
  }
}

/** Order of problems of one file. */
export function byPlace(a: Problem, b: Problem): number {
  return a.line - b.line || a.column - b.column;
}

/** Throws a {@link LocatedError} unless the list is empty. */
export function refuseProblems(problems: readonly Problem[], safe: string): void {
  const [first, ...others] = problems;
  if (first !== undefined) throw new LocatedError([first, ...others], safe);
}

function place(problem: Problem): string {
  return `${problem.file}:${problem.line}:${problem.column}`;
}

function list(problems: readonly Problem[]): string {
  return problems.map((p) => `  ${place(p)}: ${p.what} ${p.expected}`).join('\n');
}
