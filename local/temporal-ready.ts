import { setTimeout as delay } from 'node:timers/promises';
import type { Connection } from '@temporalio/client';
import { SEARCH_ATTRIBUTES } from '../contracts/names.ts';
import type { TemporalEndpoint } from '../target/connect-temporal.ts';

/** `temporal.api.enums.v1.IndexedValueType` of a keyword. */
const KEYWORD = 2;
const ALREADY_EXISTS = 6;

export interface TemporalFacts {
  readonly serverVersion: string;
  /** Search attributes of this project that the namespace does not have. */
  readonly missing: readonly string[];
}

/**
 * Asks a Temporal server for its version and for the search attributes of this project.
 * @throws the client's error when it does not answer within the deadline (milliseconds)
 */
export async function askTemporal(endpoint: TemporalEndpoint, withinMs = 5_000): Promise<TemporalFacts> {
  return await connected(endpoint, withinMs, async (connection) => ({
    serverVersion: (await connection.workflowService.getSystemInfo({})).serverVersion ?? 'unknown',
    missing: await missingAttributes(connection, endpoint.namespace),
  }));
}

/**
 * Registers the search attributes that the namespace does not have yet, and waits until the server lists
 * them. Calling it again changes nothing.
 * @throws the server's error, for instance when the caller may not
 */
export async function registerSearchAttributes(endpoint: TemporalEndpoint, withinMs = 15_000): Promise<void> {
  await connected(endpoint, withinMs, async (connection) => {
    for (let asked = false; ; ) {
      const missing = await missingAttributes(connection, endpoint.namespace);
      if (missing.length === 0) return;
      if (!asked) {
        const searchAttributes = Object.fromEntries(missing.map((name) => [name, KEYWORD]));
        await connection.operatorService
          .addSearchAttributes({ namespace: endpoint.namespace, searchAttributes })
          .catch((error: unknown) => {
            const code = error instanceof Error && 'code' in error ? error.code : undefined;
            if (code !== ALREADY_EXISTS) throw error;
          });
        asked = true;
      }
      await delay(50);
    }
  });
}

async function missingAttributes(connection: Connection, namespace: string): Promise<string[]> {
  const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace });
  return SEARCH_ATTRIBUTES.filter((name) => customAttributes?.[name] !== KEYWORD);
}

async function connected<T>(
  endpoint: TemporalEndpoint,
  withinMs: number,
  work: (connection: Connection) => Promise<T>,
): Promise<T> {
  const { Connection: Connector } = await import('@temporalio/client');
  const connection = await Connector.connect({ ...endpoint.connectionOptions, connectTimeout: withinMs });
  try {
    return await connection.withDeadline(Date.now() + withinMs, () => work(connection));
  } finally {
    await connection.close();
  }
}
