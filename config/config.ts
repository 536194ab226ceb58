import type { DeliveryConfig } from './delivery-config.ts';
import type { SecretRef } from './secret-ref.ts';

/** Where a target's address comes from. `plain` has no password in it; `local` is the embedded PostgreSQL. */
export type UrlRef =
  | SecretRef
  | { readonly kind: 'plain'; readonly url: string }
  | { readonly kind: 'local' };

/** Classes of statements that have a timeout of their own. */
export interface StatementTimeouts {
  /** Statements of check, verify, holds, done_when and metric scripts. */
  readonly check: number;
  /** Statements of migrate, enable, undo and disable scripts. */
  readonly migrate: number;
  readonly probe: number;
}

/** A database that macros may run on; times in milliseconds, paths absolute. */
export interface TargetConfig {
  readonly name: string;
  readonly url: UrlRef;
  /** Schema that managed files run in. */
  readonly schema: string;
  readonly lockTimeoutMs: number;
  readonly statementTimeoutMs: StatementTimeouts;
  readonly backupDir: string;
  /** Server to restore into instead of a throw-away local cluster. */
  readonly restoreServer: SecretRef | { readonly kind: 'plain'; readonly url: string } | null;
  /** Database to connect to where another is to be created or dropped. */
  readonly maintenanceDatabase: string;
  readonly delivery: DeliveryConfig;
}

export interface TemporalConfig {
  /** `host:port`; null where none is configured, which means the embedded server. */
  readonly address: string | null;
  readonly namespace: string;
  /** Base of links to the Temporal UI, without a slash at the end; null where it is not known. */
  readonly uiUrl: string | null;
}

export interface BackupConfig {
  readonly dir: string;
  /** How many backups of a target pruning keeps. */
  readonly keep: number;
}

/** Which layer a value comes from; the first wins. */
export const LAYERS = ['flag', 'environment', 'project', 'user', 'default'] as const;
export type Layer = (typeof LAYERS)[number];

/** Origin of one value: the layer, and the flag, the variable or the `file:line:column` in it. */
export interface Origin {
  readonly layer: Layer;
  readonly source: string;
}

/** The whole configuration, without any secret: those are resolved where they are used. */
export interface Config {
  readonly targets: Readonly<Record<string, TargetConfig>>;
  /** Target of a command that names none; null where several are configured and none is the default. */
  readonly defaultTarget: string | null;
  readonly temporal: TemporalConfig;
  /** Besides the shipped macros and `./macros`. */
  readonly macroDirs: readonly string[];
  readonly backup: BackupConfig;
  /** Origin of every value, by the key that `sluice.yaml` would give it, such as `targets.local.schema`. */
  readonly origins: ReadonlyMap<string, Origin>;
}
