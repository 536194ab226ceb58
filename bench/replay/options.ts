import { SluiceError } from '../../contracts/error-codes.ts';
import { REPLAY_DEFAULTS } from '../../contracts/replay.ts';

export interface ReplayOptions {
  readonly rounds: number;
  readonly letters: number;
  /** Letters of one transaction, of `replay` and `bare` alike. */
  readonly batch: number;
  /** Requests in flight that are tried; each contestant goes on with its best. */
  readonly concurrency: readonly number[];
  /** Names of the contestants to measure, such as `sql.replay` or `http`; empty for all. */
  readonly only: readonly string[];
  /** Measures the memory of the replaying process instead. */
  readonly isMemory: boolean;
}

const DEFAULTS = { rounds: 3, letters: 20_000, batch: REPLAY_DEFAULTS.batchSize, concurrency: '32,64' };
const MEMORY_LETTERS = 1_000_000;

/**
 * Reads `--rounds=`, `--letters=`, `--batch=`, `--concurrency=32,64`, `--only=sql,http.replay` and `--memory`.
 * @throws {SluiceError} `usage` for a number that is none
 */
export function readOptions(words: readonly string[]): ReplayOptions {
  const isMemory = words.includes('--memory');
  const given = (name: string) =>
    words.find((word) => word.startsWith(`--${name}=`))?.slice(`--${name}=`.length);
  const positive = (name: string, text: string) => {
    const value = Number(text);
    if (Number.isInteger(value) && value > 0) return value;
    throw new SluiceError('usage', {
      what: `--${name}: ${JSON.stringify(text)} is no number that it can take.`,
      expected: 'Whole numbers from 1.',
      safe: 'Nothing was measured.',
    });
  };
  return {
    rounds: positive('rounds', given('rounds') ?? String(DEFAULTS.rounds)),
    letters: positive('letters', given('letters') ?? String(isMemory ? MEMORY_LETTERS : DEFAULTS.letters)),
    batch: positive('batch', given('batch') ?? String(DEFAULTS.batch)),
    concurrency: (given('concurrency') ?? DEFAULTS.concurrency)
      .split(',')
      .map((text) => positive('concurrency', text)),
    only: given('only')?.split(',') ?? [],
    isMemory,
  };
}
