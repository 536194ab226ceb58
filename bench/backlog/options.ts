import { SluiceError } from '../../contracts/error-codes.ts';

export interface BacklogOptions {
  readonly rounds: number;
  /** Events of one batch, of worker and raw statement alike. */
  readonly batch: number;
  /** Measured batches of each, in each round of each backlog. */
  readonly batches: number;
  /** Events ahead of the cursor, ascending; the largest is also the number of attempts behind it. */
  readonly sizes: readonly number[];
  /** Seconds for which another transaction holds the horizon. */
  readonly hold: number;
}

const DEFAULTS = { rounds: 3, batch: 5_000, batches: 8, hold: 60 };
const SIZES = '10000,1000000,10000000';

/**
 * Reads `--sizes=10000,1000000`, `--rounds=`, `--batch=`, `--batches=` and `--hold=` (seconds).
 * @throws {SluiceError} `usage` for a number that is none, or for fewer than two sizes
 */
export function readOptions(words: readonly string[]): BacklogOptions {
  const given = (name: string) =>
    words.find((word) => word.startsWith(`--${name}=`))?.slice(`--${name}=`.length);
  const positive = (name: string, text: string, atLeast = 1) => {
    const value = Number(text);
    if (Number.isInteger(value) && value >= atLeast) return value;
    throw new SluiceError('usage', {
      what: `--${name}: ${JSON.stringify(text)} is no number that it can take.`,
      expected: `Whole numbers from ${atLeast}.`,
      safe: 'Nothing was measured.',
    });
  };
  const option = (name: keyof typeof DEFAULTS, atLeast?: number) =>
    positive(name, given(name) ?? String(DEFAULTS[name]), atLeast);
  const batch = option('batch');
  const sizes = (given('sizes') ?? SIZES)
    .split(',')
    .map((text) => positive('sizes', text, batch))
    .sort((a, b) => a - b);
  if (sizes.length < 2)
    throw new SluiceError('usage', {
      what: '--sizes names fewer than two backlogs, and one cannot be compared.',
      expected: `Two or more, for instance --sizes=${SIZES}.`,
      safe: 'Nothing was measured.',
    });
  return { rounds: option('rounds'), batch, batches: option('batches'), sizes, hold: option('hold', 5) };
}
