import type pg from 'pg';
import { isPostgresUrl } from '../config/plain-url.ts';
import { SluiceError } from '../contracts/error-codes.ts';
import { type DeliveryOutcome, failed, sent } from './delivery-outcome.ts';
import type { DeliveryRequest } from './delivery-request.ts';
import type { DeliveryTarget, DeliveryTry, TryOut } from './delivery-target.ts';
import type { HttpGuard } from './http/create-http-guard.ts';
import { secretUnresolved } from './request-refusals.ts';
import { type RouteLimits, routeLimits } from './route-limits.ts';
import { routeRetry } from './route-retry.ts';
import { databaseFailure } from './vector/database-failure.ts';
import { type EmbeddingEndpoint, embeddingBody, embedText } from './vector/embed-text.ts';
import { readTableName, type TableName } from './vector/table-name.ts';
import { textToEmbed } from './vector/text-to-embed.ts';
import { tryVectorOut } from './vector/try-vector-out.ts';
import { VectorPool } from './vector/vector-pool.ts';
import { type Standing, standing, subjectKey, upsertVector } from './vector/vector-row.ts';
import { checkVectorTable, refusal } from './vector/vector-table.ts';
import { TryEnded, withinTry } from './within-try.ts';

const KIND = 'vector';
const CONNECTIONS = 4;
/** How long an inspection may take, in milliseconds. */
const INSPECT_WITHIN_MS = 20_000;

export interface VectorTargetParts {
  /** Gives the URL of the database whenever it is used; it may hold a password. */
  readonly url: () => Promise<string>;
  /** `apiKey` gives the key whenever it is used; null for an endpoint that asks for none. */
  readonly embedding: EmbeddingEndpoint & { readonly apiKey: (() => Promise<string>) | null };
  readonly guard: HttpGuard;
  /** Connections to the database at most; 4. */
  readonly connections?: number;
}

/**
 * Embeds a text of the payload and writes it to the table that `target_ref` names, a row for each subject. An event that
 * is older than its subject's row is skipped, by its number among the events of the subject or, where one of the two has
 * none, by its time; the event that the row comes from changes nothing. What is known before the embedding costs none.
 */
export function vectorTarget({ url, embedding, guard, connections }: VectorTargetParts): DeliveryTarget {
  const pool = new VectorPool(connections ?? CONNECTIONS);
  const checkedUrl = async () => {
    const found = await url();
    if (isPostgresUrl(found)) return found;
    throw new SluiceError('configuration_invalid', {
      what: 'What `delivery.vector.url` gives is not a PostgreSQL URL.',
      expected: 'Expected postgresql://user:password@host:5432/database.',
      safe: 'No vector was written.',
    });
  };

  async function write(
    request: DeliveryRequest,
    table: TableName,
    text: string,
    limits: RouteLimits,
    retryAfterMaxMs: number,
    signal: AbortSignal,
  ): Promise<DeliveryOutcome> {
    const secrets = await Promise.all([checkedUrl(), embedding.apiKey?.() ?? null]).then(
      ([databaseUrl, apiKey]) => ({ databaseUrl, apiKey }),
      (error) => ({ outcome: secretUnresolved(KIND, error) }),
    );
    if ('outcome' in secrets) return secrets.outcome;
    const { databaseUrl, apiKey } = secrets;
    const known = await pool.inTransaction(databaseUrl, signal, (client) => standing(client, table, request));
    const facts = { table: request.targetRef, subject_key: subjectKey(request) };
    if (known === 'held' || known === 'older than held') return settled(known, facts);

    const { timeoutMs, maxBodyBytes } = limits;
    const embedded = await embedText(guard, embedding, {
      text,
      apiKey,
      maxBodyBytes,
      timeoutMs,
      retryAfterMaxMs,
      signal,
    });
    if ('outcome' in embedded) return embedded.outcome;
    const { model } = embedding;
    const after = await pool.inTransaction(databaseUrl, signal, async (client): Promise<Standing> => {
      const row = { content: text, embedding: embedded.embedding, model };
      const { written } = await upsertVector(client, table, request, row);
      return written ? 'newer than held' : standing(client, table, request);
    });
    return settled(after, { ...facts, dimensions: embedding.dimensions });
  }

  return {
    kind: KIND,
    isBuilt: true,

    fault(targetRef, config) {
      const limits = routeLimits(KIND, config);
      if (typeof limits === 'string') return `${limits}.`;
      return readTableName(targetRef) === null ? 'A table of vectors is named `schema.table`.' : null;
    },

    async deliver(request, { config, signal }: DeliveryTry) {
      const prepared = textToEmbed(request, config);
      if ('code' in prepared) return failed(KIND, prepared);
      const { table, text, limits } = prepared;
      const { retryAfterMaxMs } = routeRetry(config);
      try {
        return await withinTry({ signal, timeoutMs: limits.timeoutMs }, (ending) =>
          write(request, table, text, limits, retryAfterMaxMs, ending),
        );
      } catch (error) {
        if (!(error instanceof TryEnded)) return failed(KIND, databaseFailure(error));
        return failed(KIND, { code: 'timeout', message: error.message, mayRetry: true, retryAfterMs: null });
      }
    },

    async tryOut(request, { config, signal }) {
      const prepared = textToEmbed(request, config);
      if ('code' in prepared) return stillFailing(prepared.message);
      const { table, text, limits } = prepared;
      const body = embeddingBody(embedding, text, limits.maxBodyBytes);
      if ('code' in body) return stillFailing(body.message);
      try {
        return await withinTry({ signal, timeoutMs: limits.timeoutMs }, async (ending) => {
          const [databaseUrl] = await Promise.all([checkedUrl(), embedding.apiKey?.()]);
          const inTakenBack = <R>(work: (client: pg.ClientBase) => Promise<R>) =>
            pool.inTransaction(databaseUrl, ending, work, 'rollback');
          return tryVectorOut({ inTakenBack, table, embedding }, request, text);
        });
      } catch (error) {
        if (!(error instanceof TryEnded || error instanceof SluiceError)) throw error;
        const why = error instanceof SluiceError ? error.text.what : error.message;
        return { verdict: 'unknown', because: why.replace(/\.$/, '') };
      }
    },

    async inspect(targetRef, config, signal) {
      const fault = this.fault(targetRef, config);
      const table = readTableName(targetRef);
      if (fault !== null || table === null) {
        throw refusal(`${fault}`, 'A target_ref such as `search.pieces`, and a config of the known keys.');
      }
      try {
        await withinTry({ signal, timeoutMs: INSPECT_WITHIN_MS }, async (ending) => {
          await embedding.apiKey?.();
          await pool.inTransaction(await checkedUrl(), ending, (client) =>
            checkVectorTable(client, table, embedding.dimensions),
          );
        });
      } catch (error) {
        if (error instanceof SluiceError) throw error;
        const why = error instanceof TryEnded ? error.message : databaseFailure(error).message;
        throw refusal(
          `The table of vectors cannot be looked at: ${why}`,
          'The database of `delivery.vector.url`.',
        );
      }
    },

    close: () => pool.close(),
  };
}

function settled(found: Standing, facts: DeliveryOutcome['detail']): DeliveryOutcome {
  if (found !== 'older than held') return sent(KIND, { ...facts, already_there: found === 'held' });
  return { status: 'skipped', delivered: false, targetKind: KIND, detail: { ...facts, because: 'older' } };
}

function stillFailing(message: string): TryOut {
  return { verdict: 'still_failing', because: message.replace(/\.$/, '') };
}
