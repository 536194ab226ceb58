import { Connection, type ConnectionOptions } from '@temporalio/client';
import { SluiceError } from '../contracts/error-codes.ts';
import { SEARCH_ATTRIBUTES } from '../contracts/names.ts';

/** A Temporal namespace and how it is reached. */
export interface TemporalEndpoint {
  readonly connectionOptions: ConnectionOptions;
  readonly namespace: string;
}

/** Milliseconds within which Temporal must answer. */
const DEADLINE_MS = 10_000;
/** `temporal.api.enums.v1.IndexedValueType` of a keyword. */
const KEYWORD = 2;

/**
 * Connects to Temporal, and checks that the namespace has the search attributes of this project.
 *
 * @throws SluiceError `temporal_unreachable` within ten seconds, `temporal_not_ready`
 */
export async function connectTemporal(
  endpoint: TemporalEndpoint,
): Promise<{ connection: Connection; clusterId: string }> {
  const address = endpoint.connectionOptions.address ?? '';
  let connection: Connection | undefined;
  try {
    connection = await Connection.connect({ ...endpoint.connectionOptions, connectTimeout: DEADLINE_MS });
    const opened = connection;
    const [cluster, attributes] = await opened.withDeadline(Date.now() + DEADLINE_MS, () =>
      Promise.all([
        opened.workflowService.getClusterInfo({}),
        opened.operatorService.listSearchAttributes({ namespace: endpoint.namespace }),
      ]),
    );
    const missing = SEARCH_ATTRIBUTES.filter((name) => attributes.customAttributes?.[name] !== KEYWORD);
    if (missing.length > 0) {
      throw new SluiceError('temporal_not_ready', {
        what: `Namespace ${endpoint.namespace} of Temporal at ${address} lacks the search attributes ${missing.join(', ')}.`,
        expected: 'Each is a Keyword; `sluice up` and `sluice init` register them.',
        safe: 'Nothing was started.',
      });
    }
    return { connection, clusterId: cluster.clusterId ?? '' };
  } catch (error) {
    await connection?.close();
    if (error instanceof SluiceError) throw error;
    const message = error instanceof Error ? error.message : String(error);
    throw new SluiceError(
      'temporal_unreachable',
      {
        what: `Temporal at ${address} (namespace ${endpoint.namespace}) does not answer: ${message}.`,
        expected: `An answer within ${DEADLINE_MS / 1000} s; \`sluice doctor\` tells which rung is used.`,
        safe: 'Nothing was changed. Runs that are open go on when Temporal is back.',
      },
      { cause: error },
    );
  }
}
