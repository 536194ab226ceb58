import type { SourcePosition } from '../config/source-position.ts';

/** One SQL statement of a script, wherever it stands: in the file, in a DO block or in a routine's body. */
export interface SqlFragment {
  /** Node of PostgreSQL's parse tree. */
  readonly tree: unknown;
  /** `file` and `do` run with the file; `routine` runs when something calls it. */
  readonly scope: 'file' | 'do' | 'routine';
  /** Name of the routine, without its schema; empty outside routines. */
  readonly routine: string;
  /** Place in the file of a location in `tree`, or of the statement itself for a location that is unknown. */
  readonly locate: (location?: number | null) => SourcePosition;
}
