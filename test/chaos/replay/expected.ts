/** Tries of a letter in the plan at most. */
export const ATTEMPTS = 3;

/** What the plan's policy makes of a letter. */
export interface Expected {
  /** Tries in the plan. */
  readonly tries: number;
  readonly isResolved: boolean;
}

interface ChaosRoute {
  readonly kind: 'sql_function' | 'external_endpoint';
  /** Letters of one subject, on a route that keeps their order; null on the others. */
  readonly perSubject: number | null;
  /** What becomes of the letter whose event carries this number. */
  readonly expected: (n: number) => Expected;
}

const MENDED: Expected = { tries: 1, isResolved: true };
const HOPELESS: Expected = { tries: ATTEMPTS, isResolved: false };

/** The status that the half-mended receiver answers for a number; 400 is not retryable by the policy. */
export function answerOf(n: number): number {
  return n % 10 === 0 ? 500 : n % 10 === 1 ? 400 : 200;
}

/**
 * Five routes whose letters fail in five ways. Their names put functions and endpoints in turn, so that deliveries are in
 * flight while functions are called.
 */
export const CHAOS_ROUTES: Readonly<Record<string, ChaosRoute>> = {
  a_mended_function: { kind: 'sql_function', perSubject: null, expected: () => MENDED },
  b_mended_endpoint: { kind: 'external_endpoint', perSubject: null, expected: () => MENDED },
  c_late_function: {
    kind: 'sql_function',
    perSubject: 5,
    expected: (n) => ({ tries: 2 + (n % 2), isResolved: true }),
  },
  d_half_endpoint: {
    kind: 'external_endpoint',
    perSubject: null,
    expected: (n) =>
      ({ 200: MENDED, 400: { tries: 1, isResolved: false }, 500: HOPELESS })[answerOf(n)] ?? HOPELESS,
  },
  e_half_function: {
    kind: 'sql_function',
    perSubject: null,
    expected: (n) => (n % 10 === 0 ? HOPELESS : MENDED),
  },
};

export const CHAOS_POLICY = {
  canary: 'each',
  canaryFailureLimit: 5,
  failureLimit: 1_000_000_000,
  attempts: ATTEMPTS,
  initialIntervalMs: 100,
  backoff: 2,
  maximumIntervalMs: 500,
  jitter: 0.2,
  notRetryable: ['http_400'],
} as const;
