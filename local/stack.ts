import type { ConnectionOptions } from '@temporalio/client';
import type { ProcessIdentity } from './process-identity.ts';

/** `configured`: named by the environment or a profile. The others are servers of this directory. */
export type TemporalRung = 'configured' | 'path' | 'cache' | 'download' | 'go';
export type PostgresRung = 'configured' | 'local' | 'embedded';

export interface TemporalServer {
  readonly address: string;
  readonly namespace: string;
  /** Null when the server was configured and nothing says where its UI is (`TEMPORAL_UI_URL`). */
  readonly uiUrl: string | null;
  readonly version: string;
  readonly rung: TemporalRung;
  /** Null when the server was configured. */
  readonly pid: number | null;
  readonly process: ProcessIdentity | null;
  /** For `Connection.connect` and `NativeConnection.connect`; may hold an API key, so never print it. */
  readonly connectionOptions: ConnectionOptions;
  /** Whether this call started it; false when it ran already. */
  readonly started: boolean;
}

export interface PostgresServer {
  /** Holds the password: never print it. */
  readonly url: string;
  /** The same without the password. */
  readonly shownUrl: string;
  readonly major: number;
  readonly version: string;
  readonly rung: PostgresRung;
  /** Where the server's own programs are; null when the server was configured. */
  readonly binDir: string | null;
  /** Where a `pg_dump` and `pg_restore` are that are not older than the server; null when there is none. */
  readonly pgDumpDir: string | null;
  readonly hasPgDump: boolean;
  readonly pid: number | null;
  readonly process: ProcessIdentity | null;
  readonly started: boolean;
}

export interface Stack {
  readonly stateDir: string;
  readonly temporal: TemporalServer;
  readonly postgres: PostgresServer;
  /** Stops, cleanly, the servers that this call started, and leaves those that ran already. */
  stop(): Promise<void>;
}

export interface StackOptions {
  /** Where data, logs and `state.json` are kept; `.sluice` in the working directory when absent. */
  readonly stateDir?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Told what takes long; one line each, for stderr. */
  readonly progress?: (line: string) => void;
  /** Aborting ends what this call started. */
  readonly signal?: AbortSignal;
}
