import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { TargetAccess } from '../activities/dependencies.ts';
import { SluiceError } from '../contracts/error-codes.ts';
import { configuredPostgres } from '../local/configured-postgres.ts';
import { lockFileOf } from '../local/postmaster-lock-file.ts';
import { readState } from '../local/state-file.ts';
import type { Config } from './config.ts';
import { findTarget } from './find-target.ts';
import { resolveRestoreUrl, resolveTargetUrl } from './resolve-target-url.ts';

export interface OpenTargetOptions {
  readonly env?: NodeJS.ProcessEnv;
  /** Where the embedded servers keep their state; `.sluice` in the working directory by default. */
  readonly stateDir?: string;
}

/**
 * A target as activities and commands use it, its secrets resolved now: never log it, never put it in a history.
 * The target `local` is the PostgreSQL that `PG*` names, else the one that runs in the state directory.
 *
 * @throws SluiceError `target_not_found`, `configuration_invalid`; `target_unreachable` where no server runs
 */
export async function resolveTargetAccess(
  config: Config,
  name: string,
  options: OpenTargetOptions = {},
): Promise<TargetAccess> {
  const env = options.env ?? process.env;
  const stateDir = path.resolve(options.stateDir ?? '.sluice');
  const target = findTarget(config, name);
  const urls = { env, resolveLocalUrl: async () => configuredPostgres(env) ?? runningPostgresUrl(stateDir) };
  return {
    name: target.name,
    url: await resolveTargetUrl(target, urls),
    schema: target.schema,
    lockTimeoutMs: target.lockTimeoutMs,
    statementTimeoutMs: {
      check: target.statementTimeoutMs.check,
      change: target.statementTimeoutMs.migrate,
      probe: target.statementTimeoutMs.probe,
    },
    backupDir: target.backupDir,
    restoreUrl: await resolveRestoreUrl(target, urls),
    toolDirs: [],
    delivery: target.delivery,
  };
}

/**
 * URL, with its password, of the PostgreSQL that runs in a state directory.
 *
 * @throws SluiceError `target_unreachable` where none runs
 */
export function runningPostgresUrl(stateDir: string): string {
  const known = readState(stateDir).postgres;
  if (known === undefined || lockFileOf(known.dataDir)?.process === undefined) {
    throw new SluiceError('target_unreachable', {
      what: `No PostgreSQL is configured, and none runs in ${stateDir}.`,
      expected: 'Start one with `sluice up`, or name yours: DATABASE_URL, or targets: in sluice.yaml.',
      safe: 'Nothing was changed.',
    });
  }
  const password = readFileSync(path.join(stateDir, 'postgres.password'), 'utf8').trim();
  return `postgresql://postgres:${encodeURIComponent(password)}@127.0.0.1:${known.port}/sluice`;
}
