import { Client, type Connection } from '@temporalio/client';
import { uiLink } from '../client/ui-link.ts';
import type { Config } from '../config/config.ts';
import { SluiceError } from '../contracts/error-codes.ts';
import { configuredTemporal } from '../local/configured-temporal.ts';
import { isRunning } from '../local/process-identity.ts';
import { readState } from '../local/state-file.ts';
import { connectTemporal, type TemporalEndpoint } from '../target/connect-temporal.ts';

/** A Temporal that is named or runs, not connected to yet. */
export interface FoundTemporal {
  readonly endpoint: TemporalEndpoint;
  readonly address: string;
  /** Null where nothing says where its UI is. */
  readonly uiUrl: string | null;
}

/** A connected Temporal; every call goes through `within`. */
export interface TemporalAccess extends FoundTemporal {
  readonly client: Client;
  readonly namespace: string;
  readonly clusterId: string;
  /** Gives a call a deadline (milliseconds). */
  within<T>(ms: number, call: () => Promise<T>): Promise<T>;
  /** Page of a workflow in the Temporal UI; null where nothing says where the UI is. */
  link(workflowId: string, runId?: string): string | null;
  close(): Promise<void>;
}

/** How long one call to Temporal may take, in milliseconds. */
export const CALL_MS = 10_000;

/**
 * Finds Temporal: what the command line, the environment, a profile or `sluice.yaml` names, else the server that
 * runs in the state directory.
 *
 * @throws SluiceError `temporal_unreachable` where none is named and none runs
 */
export async function findTemporalServer(
  config: Config,
  env: NodeJS.ProcessEnv,
  stateDir: string,
): Promise<FoundTemporal> {
  const { address, namespace, uiUrl } = config.temporal;
  const namesNamespace = config.origins.get('temporal.namespace')?.layer !== 'default';
  const configured = await configuredTemporal({
    ...env,
    ...(address === null ? {} : { TEMPORAL_ADDRESS: address }),
    ...(namesNamespace ? { TEMPORAL_NAMESPACE: namespace } : {}),
  });
  const own = readState(stateDir).temporal;
  if (configured !== undefined) {
    const isOwn = own !== undefined && own.address === configured.address;
    return {
      endpoint: configured,
      address: configured.address,
      uiUrl: uiUrl ?? configured.uiUrl ?? (isOwn ? own.uiUrl : null),
    };
  }
  if (own?.process !== undefined && isRunning(own.process)) {
    return {
      endpoint: { connectionOptions: { address: own.address }, namespace },
      address: own.address,
      uiUrl: uiUrl ?? own.uiUrl,
    };
  }
  throw new SluiceError('temporal_unreachable', {
    what: `No Temporal is configured, and none runs in ${stateDir}.`,
    expected: 'Start one with `sluice up`, or name yours: TEMPORAL_ADDRESS, or temporal: in sluice.yaml.',
    safe: 'Nothing was changed.',
  });
}

/**
 * Connects to Temporal.
 *
 * @throws SluiceError `temporal_unreachable` within ten seconds, `temporal_not_ready`
 */
export async function openTemporal(found: FoundTemporal): Promise<TemporalAccess> {
  const { connection, clusterId } = await connectTemporal(found.endpoint);
  const { namespace } = found.endpoint;
  return {
    ...found,
    namespace,
    clusterId,
    client: new Client({ connection, namespace }),
    within: (ms, call) => connection.withDeadline(Date.now() + ms, call),
    link: (workflowId, runId) =>
      found.uiUrl === null ? null : uiLink(found.uiUrl, namespace, workflowId, runId),
    close: () => closeQuietly(connection),
  };
}

async function closeQuietly(connection: Connection): Promise<void> {
  await connection.close().catch(() => undefined);
}
