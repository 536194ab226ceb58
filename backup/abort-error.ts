import { SluiceError } from '../contracts/error-codes.ts';

/** What a backup throws when its signal was aborted; the reason is kept as the cause. */
export function abortError(signal: AbortSignal, what: string): SluiceError {
  return new SluiceError(
    'interrupted',
    {
      what: `${what} was stopped on request.`,
      expected: '',
      safe: 'The partial file, the scratch database and every process of it are gone; it can be run again.',
    },
    { cause: signal.reason },
  );
}

/** @throws {SluiceError} `interrupted` when the signal is aborted */
export function stopIfAborted(signal: AbortSignal, what: string): void {
  if (signal.aborted) throw abortError(signal, what);
}
