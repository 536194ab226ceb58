import { drawRates } from './draw-rates.ts';
import type { Result } from './result.ts';

/** What the contestants of `bench delivery` are called where people read it. */
export const POSTERS: Readonly<Record<string, string>> = {
  bare: 'bare HTTP client',
  delivery: 'delivery',
  'graphile-worker': 'graphile-worker',
  'graphile-worker-fastest': 'graphile-worker, fastest',
  'pg-boss': 'pg-boss',
  'pg-boss-fastest': 'pg-boss, fastest',
};

export function drawDelivery(result: Result): string {
  return drawRates(result, { title: 'POSTs per second', names: POSTERS, ours: 'delivery' });
}
