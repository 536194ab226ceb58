/** Errors of writers and pollers, counted; those that the chaos itself does not explain make the verdict fail. */
export interface Surprises {
  note(error: unknown, expected: boolean): void;
  readonly expected: Map<string, number>;
  readonly unexpected: Map<string, number>;
}

export function emptySurprises(): Surprises {
  const expected = new Map<string, number>();
  const unexpected = new Map<string, number>();
  return {
    expected,
    unexpected,
    note(error, isExpected) {
      const [counts, name] = isExpected
        ? [expected, codeOf(error)]
        : [unexpected, `${codeOf(error)} ${error}`];
      counts.set(name, (counts.get(name) ?? 0) + 1);
    },
  };
}

/** Terminated, cancelled, crashed, starting, disconnected; a deadlock of two writers over two subjects. */
const EXPECTED = /^(57P0[1-3]|57014|08...|40P01|E[A-Z]+|disconnected)$/;

export function isExpected(error: unknown): boolean {
  return EXPECTED.test(codeOf(error));
}

function codeOf(error: unknown): string {
  if (error instanceof Error && 'code' in error) return String(error.code);
  const isCutOff = error instanceof Error && /terminated|not queryable|closed/i.test(error.message);
  return isCutOff ? 'disconnected' : 'unknown';
}
