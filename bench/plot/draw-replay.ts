import { drawRates } from './draw-rates.ts';
import type { Result } from './result.ts';

/** What people call the contestants of each of the two fields. */
export const REPLAYERS: Readonly<Record<'sql' | 'http', Readonly<Record<string, string>>>> = {
  sql: {
    bare: 'bare update and insert',
    drain: 'drain, new events',
    replay: 'replay',
    'pg-boss': 'pg-boss',
    'pg-boss-fastest': 'pg-boss, fastest',
  },
  http: {
    delivery: 'delivery, new events',
    replay: 'replay',
    'pg-boss': 'pg-boss',
    'pg-boss-fastest': 'pg-boss, fastest',
  },
};

export type ReplayField = keyof typeof REPLAYERS;

const TITLES: Readonly<Record<ReplayField, string>> = {
  sql: 'Letters of a function per second',
  http: 'Letters of an HTTP endpoint per second',
};

export function drawReplay(field: ReplayField, result: Result): string {
  return drawRates(ofField(result, field), { title: TITLES[field], names: REPLAYERS[field], ours: 'replay' });
}

/** The figures of one field, whose names lose it. What belongs to no field stays. */
export function ofField(result: Result, field: ReplayField): Result {
  const fields = Object.keys(REPLAYERS);
  const those = <T>(figures: Readonly<Record<string, T>>) =>
    Object.fromEntries(
      Object.entries(figures).flatMap(([name, figure]): [string, T][] => {
        const [first = '', ...rest] = name.split('.');
        if (first === field) return [[rest.join('.'), figure]];
        return fields.includes(first) ? [] : [[name, figure]];
      }),
    );
  return {
    rounds: result.rounds.map(those),
    median: those(result.median),
    ratios: those(result.ratios),
    settings: those(result.settings),
  };
}
