import { SluiceError } from '../../contracts/error-codes.ts';

export interface DeliveryOptions {
  readonly rounds: number;
  readonly events: number;
  /** Requests in flight that are tried; each contestant goes on with its best. */
  readonly concurrency: readonly number[];
  /** Names of the contestants to measure; empty for all. */
  readonly only: readonly string[];
  /** Measures the memory of the delivering process instead. */
  readonly isMemory: boolean;
}

const DEFAULTS = { rounds: 3, events: 20_000, concurrency: '32,64' };
const MEMORY_EVENTS = 1_000_000;

/**
 * Reads `--rounds=`, `--events=`, `--concurrency=32,64`, `--only=bare,delivery` and `--memory`.
 * @throws {SluiceError} `usage` for a number that is none
 */
export function readOptions(words: readonly string[], defaults = DEFAULTS): DeliveryOptions {
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
    rounds: positive('rounds', given('rounds') ?? String(defaults.rounds)),
    events: positive('events', given('events') ?? String(isMemory ? MEMORY_EVENTS : defaults.events)),
    concurrency: (given('concurrency') ?? defaults.concurrency)
      .split(',')
      .map((text) => positive('concurrency', text)),
    only: given('only')?.split(',') ?? [],
    isMemory,
  };
}
