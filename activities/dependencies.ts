import type { Client } from '@temporalio/client';

/** A target as activities use it: secrets resolved, limits in milliseconds. Never part of any history. */
export interface TargetAccess {
  readonly name: string;
  /** Connection string with its secret. */
  readonly url: string;
  readonly schema: string;
  readonly lockTimeoutMs: number;
  /** Per statement, by class of step. */
  readonly statementTimeoutMs: { readonly check: number; readonly change: number; readonly probe: number };
  readonly backupDir: string;
  /** Server to restore into instead of a throw-away local cluster. */
  readonly restoreUrl: string | null;
  /** Directories where `pg_dump` is looked for first. */
  readonly toolDirs: readonly string[];
}

/** What the composition root hands to every activity. */
export interface ActivityDependencies {
  /** Resolves a target's name; throws SluiceError `target_not_found`. */
  readonly openTarget: (name: string) => Promise<TargetAccess>;
  readonly temporal: {
    readonly client: Client;
    readonly address: string;
    readonly namespace: string;
    readonly clusterId: string;
  };
}
