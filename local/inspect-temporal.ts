import type { TemporalEndpoint } from '../target/connect-temporal.ts';
import { searchAttributeCommand } from './attach-or-start-temporal.ts';
import { configuredTemporal } from './configured-temporal.ts';
import { type DoctorPart, fine, wrong } from './doctor-part.ts';
import { findTemporal } from './find-temporal.ts';
import { isRunning } from './process-identity.ts';
import { readState } from './state-file.ts';
import { TEMPORAL_CLI_VERSION } from './temporal-cache.ts';
import { askTemporal } from './temporal-ready.ts';

interface Asked {
  readonly env: NodeJS.ProcessEnv;
  readonly stateDir: string;
}

/** Parts `temporal cli`, `temporal server` and `search attributes`. */
export async function inspectTemporal({ env, stateDir }: Asked): Promise<DoctorPart[]> {
  const configured = await configuredTemporal(env);
  if (configured !== undefined) return await inspectServer(configured, configured.address, 'configured');
  const { found, tried } = await findTemporal(env);
  const cli =
    found === undefined
      ? wrong(
          'temporal cli',
          null,
          `\`sluice up\` downloads or builds it, or install ${TEMPORAL_CLI_VERSION} or newer (https://docs.temporal.io/cli/setup-cli); tried: ${tried.join('; ')}`,
        )
      : fine('temporal cli', found.path, { version: `server ${found.serverVersion}`, rung: found.rung });
  const known = readState(stateDir).temporal;
  if (known?.process === undefined || !isRunning(known.process)) {
    return [cli, fine('temporal server', 'not started; `sluice up` starts it')];
  }
  const endpoint = { connectionOptions: { address: known.address }, namespace: 'default' };
  return [cli, ...(await inspectServer(endpoint, `${known.address}, UI ${known.uiUrl}`, known.rung))];
}

async function inspectServer(endpoint: TemporalEndpoint, shown: string, rung: string): Promise<DoctorPart[]> {
  try {
    const { serverVersion, missing } = await askTemporal(endpoint);
    return [
      fine('temporal server', shown, { version: serverVersion, rung }),
      missing.length === 0
        ? fine('search attributes', `registered in namespace ${endpoint.namespace}`)
        : wrong(
            'search attributes',
            `missing: ${missing.join(', ')}`,
            searchAttributeCommand(endpoint.namespace),
          ),
    ];
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const fix =
      rung === 'configured'
        ? 'correct TEMPORAL_ADDRESS or the profile, or unset it'
        : '`sluice down`, then `sluice up`';
    return [wrong('temporal server', `${shown} does not answer: ${reason}`, fix, { rung })];
  }
}
