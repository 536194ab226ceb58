/** Runs work in at most so many slots at a time, in the order in which it came. */
export function slots(size: number): <T>(work: () => Promise<T>) => Promise<T> {
  const waiting: (() => void)[] = [];
  let taken = 0;
  let first = 0;
  const leave = () => {
    const next = waiting[first];
    if (next === undefined) {
      taken -= 1;
      waiting.length = 0;
      first = 0;
      return;
    }
    first += 1;
    next();
  };
  return async (work) => {
    if (taken < size) taken += 1;
    else await new Promise<void>((enter) => waiting.push(enter));
    try {
      return await work();
    } finally {
      leave();
    }
  };
}
