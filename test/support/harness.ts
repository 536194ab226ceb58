import { inject } from 'vitest';

/** A server of the run, or the reason why there is none. */
export type Offer<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly reason: string };

export interface PostgresOffer {
  /** Of the superuser, database `postgres`. */
  readonly adminUrl: string;
  readonly binDir: string;
  /** Where PostgreSQL 15 is not installed, the oldest that is stands in for it: this is the real one. */
  readonly major: number;
}

/** What the global set-up hands to each test file. */
export interface Harness {
  /** A directory of this run, removed at its end. */
  readonly dir: string;
  readonly postgres: Readonly<Record<15 | 18, Offer<PostgresOffer>>>;
  readonly temporal: Offer<{ readonly address: string; readonly uiUrl: string; readonly program: string }>;
}

declare module 'vitest' {
  interface ProvidedContext {
    harness: Harness;
  }
}

export function harness(): Harness {
  return inject('harness');
}

/** The server, or an error with the reason why it did not start. */
export function demand<T>(offered: Offer<T>): T {
  if (!offered.ok) throw new Error(offered.reason);
  return offered.value;
}
