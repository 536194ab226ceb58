import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { PostgresPrograms } from './find-postgres.ts';
import type { TemporalProgram } from './find-temporal.ts';
import type { ProcessIdentity } from './process-identity.ts';

/** `.sluice/state.json`: which servers this directory started, and where their data lies. */
export interface StackState {
  readonly version: 1;
  readonly postgres?: {
    readonly dataDir: string;
    readonly port: number;
    readonly rung: PostgresPrograms['rung'];
    readonly process?: ProcessIdentity;
  };
  readonly temporal?: {
    readonly address: string;
    readonly uiUrl: string;
    readonly rung: TemporalProgram['rung'];
    readonly process?: ProcessIdentity;
  };
}

/** The state of a directory; an empty one when there is none or when it cannot be read. */
export function readState(stateDir: string): StackState {
  try {
    const state: StackState = JSON.parse(readFileSync(fileIn(stateDir), 'utf8'));
    return state.version === 1 ? state : { version: 1 };
  } catch {
    return { version: 1 };
  }
}

/** Replaces parts of the state, in one step that a crash cannot halve. */
export function updateState(stateDir: string, parts: Partial<StackState>): void {
  const file = fileIn(stateDir);
  writeFileSync(`${file}.new`, `${JSON.stringify({ ...readState(stateDir), ...parts }, null, 2)}\n`, {
    mode: 0o600,
  });
  renameSync(`${file}.new`, file);
}

/** Makes the state directory, which keeps itself out of version control. */
export function prepareStateDir(stateDir: string): void {
  mkdirSync(join(stateDir, 'logs'), { recursive: true });
  writeFileSync(join(stateDir, '.gitignore'), '*\n');
}

function fileIn(stateDir: string): string {
  return join(stateDir, 'state.json');
}

/** Held while servers of the directory are started or stopped. */
export function startLockFile(stateDir: string): string {
  return join(stateDir, 'start.lock');
}
