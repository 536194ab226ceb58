import type pg from 'pg';
import { SluiceError } from '../../contracts/error-codes.ts';
import type { DeliveryRequest } from '../delivery-request.ts';
import type { TryOut } from '../delivery-target.ts';
import { databaseFailure } from './database-failure.ts';
import type { EmbeddingEndpoint } from './embed-text.ts';
import type { TableName } from './table-name.ts';
import { standing, upsertVector } from './vector-row.ts';
import { checkVectorTable } from './vector-table.ts';

export interface VectorTryOut {
  /** Runs work in a transaction that is rolled back. */
  inTakenBack<Result>(work: (client: pg.ClientBase) => Promise<Result>): Promise<Result>;
  readonly table: TableName;
  readonly embedding: Pick<EmbeddingEndpoint, 'model' | 'dimensions'>;
}

/**
 * Writes the row of a request with a made-up vector and takes it back, as far as a delivery would write one. Where the
 * database refuses, the table is looked at for what is wrong with it.
 *
 * @throws the error of the connection, or of what runs around
 */
export async function tryVectorOut(
  { inTakenBack, table, embedding }: VectorTryOut,
  request: DeliveryRequest,
  content: string,
): Promise<TryOut> {
  try {
    return await inTakenBack(async (client): Promise<TryOut> => {
      const known = await standing(client, table, request);
      if (known === 'held') {
        return { verdict: 'fixed', because: 'the table has the row of the event already' };
      }
      if (known === 'older than held') {
        return { verdict: 'fixed', because: 'the row of its subject comes from a later event and stays' };
      }
      const { model, dimensions } = embedding;
      // A unit vector: indexes by cosine leave a vector of zeros out.
      const madeUp = Array.from({ length: dimensions }, (_, index) => (index === 0 ? 1 : 0));
      await upsertVector(client, table, request, { content, embedding: madeUp, model });
      return { verdict: 'fixed', because: 'the embedding endpoint was not called' };
    });
  } catch (error) {
    const { message, mayRetry } = databaseFailure(error);
    if (mayRetry) return { verdict: 'unknown', because: message.replace(/\.$/, '') };
    const wrong = await inTakenBack((client) => checkVectorTable(client, table, embedding.dimensions)).catch(
      (found: unknown) => {
        if (found instanceof SluiceError) return found.text.what;
      },
    );
    return { verdict: 'still_failing', because: (wrong ?? message).replace(/\.$/, '') };
  }
}
