import { SluiceError } from '../../contracts/error-codes.ts';

export interface DrainOptions {
  readonly rounds: number;
  readonly events: number;
  /** Events of one batch, of `raw` and `drain` alike. */
  readonly batch: number;
  /** Names of the contestants to measure; empty for all. */
  readonly only: readonly string[];
}

const DEFAULTS = { rounds: 3, events: 100_000, batch: 5_000 };

/**
 * Reads `--rounds=`, `--events=`, `--batch=` and `--only=raw,drain`.
 * @throws {SluiceError} `usage` for a number that is none
 */
export function readOptions(words: readonly string[]): DrainOptions {
  const given = (name: string) =>
    words.find((word) => word.startsWith(`--${name}=`))?.slice(`--${name}=`.length);
  const positive = (name: keyof typeof DEFAULTS) => {
    const value = Number(given(name) ?? DEFAULTS[name]);
    if (Number.isInteger(value) && value > 0) return value;
    throw new SluiceError('usage', {
      what: `--${name}=${given(name)} is no number of ${name}.`,
      expected: `A whole number from 1, for instance --${name}=${DEFAULTS[name]}.`,
      safe: 'Nothing was measured.',
    });
  };
  return {
    rounds: positive('rounds'),
    events: positive('events'),
    batch: positive('batch'),
    only: given('only')?.split(',') ?? [],
  };
}
