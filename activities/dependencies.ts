import type { Client } from '@temporalio/client';
import type { DeliveryConfig } from '../config/delivery-config.ts';
import type { DeliveryRegistry } from '../delivery/delivery-registry.ts';

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
  /** What live deliveries may do and with what; secrets in it are references, resolved where they are used. */
  readonly delivery: DeliveryConfig;
}

/** What the composition root hands to every activity. */
export interface ActivityDependencies {
  /** Resolves a target's name; throws SluiceError `target_not_found`. */
  readonly openTarget: (name: string) => Promise<TargetAccess>;
  /** What delivers for a target; the same registry each time. */
  readonly registryOf: (target: TargetAccess) => Promise<DeliveryRegistry>;
  readonly temporal: {
    readonly client: Client;
    readonly address: string;
    readonly namespace: string;
    readonly clusterId: string;
  };
}
