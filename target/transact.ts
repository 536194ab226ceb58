import type { TransactionMode } from './in-transaction.ts';

/** Runs statements in one transaction, with the limits that its maker has chosen, and commits it. */
export type Transact<Mode extends TransactionMode = 'read write'> = <T>(
  mode: Mode,
  work: () => Promise<T>,
) => Promise<T>;
