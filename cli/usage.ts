import { SluiceError } from '../contracts/error-codes.ts';

/** An error of how the command was called. */
export function usage(what: string, expected: string): SluiceError {
  return new SluiceError('usage', { what, expected, safe: 'Nothing was changed.' });
}
