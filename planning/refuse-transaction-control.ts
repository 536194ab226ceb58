import type { Problem } from '../config/located-error.ts';
import type { SourcePosition } from '../config/source-position.ts';

/** The problem of a word that would begin or end a transaction. */
export function refuseTransactionControl(file: string, word: string, position: SourcePosition): Problem {
  return {
    code: 'script_transaction_control',
    file,
    ...position,
    what: `${word} stands in a managed file.`,
    expected: 'Remove it; the engine opens and ends the transaction of every file.',
  };
}
