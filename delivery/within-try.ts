/** The try had to end before its work did; whether the work took effect is unknown. */
export class TryEnded extends Error {
  constructor(because: string) {
    super(because);
    this.name = 'TryEnded';
  }
}

/**
 * Runs one try's work with a signal that is aborted with the try, or after `timeoutMs`. It does not wait for work that
 * does not heed the signal.
 *
 * @throws TryEnded
 */
export async function withinTry<Result>(
  limits: { readonly signal: AbortSignal; readonly timeoutMs: number },
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const { signal, timeoutMs } = limits;
  if (signal.aborted) throw new TryEnded('The try had ended before it began.');
  const controller = new AbortController();
  let end = (_because: string) => {};
  const ended = new Promise<never>((_, reject) => {
    end = (because) => {
      const error = new TryEnded(because);
      controller.abort(error);
      reject(error);
    };
  });
  const onAbort = () => end('The try was ended from outside.');
  const timer = setTimeout(() => end(`It took longer than ${timeoutMs} ms.`), timeoutMs);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([work(controller.signal), ended]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
  }
}
