import { drawRates } from './draw-rates.ts';
import type { Result } from './result.ts';

/** What the contestants of `bench drain` are called where people read it. */
export const CONTESTANTS: Readonly<Record<string, string>> = {
  raw: 'bare insert … select',
  drain: 'route worker',
  river: 'River',
  'graphile-worker': 'graphile-worker',
  'graphile-worker-fastest': 'graphile-worker, fastest',
  'pg-boss': 'pg-boss',
  'pg-boss-fastest': 'pg-boss, fastest',
};

export function drawDrain(result: Result): string {
  return drawRates(result, { title: 'Events per second', names: CONTESTANTS, ours: 'drain' });
}
