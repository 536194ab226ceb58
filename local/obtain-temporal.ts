import { SluiceError } from '../contracts/error-codes.ts';
import { findTemporal, type TemporalProgram } from './find-temporal.ts';
import { installTemporal } from './install-temporal.ts';
import { TEMPORAL_CLI_VERSION } from './temporal-cache.ts';

export interface ObtainTemporalOptions {
  readonly env?: NodeJS.ProcessEnv;
  /** Told what is being done when it takes long; one line each. */
  readonly progress?: (line: string) => void;
  readonly signal?: AbortSignal;
}

/**
 * A Temporal CLI that works: found on this machine, else downloaded, else built with Go, and then kept in the
 * user's cache.
 * @throws {SluiceError} `temporal_not_ready` with all that was tried and what to install
 */
export async function obtainTemporal(options: ObtainTemporalOptions = {}): Promise<TemporalProgram> {
  const env = options.env ?? process.env;
  const search = await findTemporal(env);
  if (search.found !== undefined) return search.found;
  const installed =
    env.SLUICE_TEMPORAL_CLI === undefined
      ? await installTemporal({ ...options, env })
      : { found: undefined, tried: ['nothing is installed while SLUICE_TEMPORAL_CLI names a program'] };
  if (installed.found !== undefined) return installed.found;
  throw new SluiceError('temporal_not_ready', {
    what: `There is no Temporal here. Tried: ${[...search.tried, ...installed.tried].join('; ')}.`,
    expected: `The Temporal CLI ${TEMPORAL_CLI_VERSION} or newer on PATH (https://docs.temporal.io/cli/setup-cli), or Go to build it with, or TEMPORAL_ADDRESS.`,
    safe: 'Nothing was started; install one of them and run the same command again.',
  });
}
