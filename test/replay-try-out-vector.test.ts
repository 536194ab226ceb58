import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { NO_DELIVERY } from '../config/delivery-config.ts';
import { SluiceError } from '../contracts/error-codes.ts';
import { deliveryRegistry } from '../delivery/delivery-registry.ts';
import type { DeliveryTarget } from '../delivery/delivery-target.ts';
import { frozenDeliveryRequest } from '../delivery/frozen-delivery-request.ts';
import { createHttpGuard, type HttpGuard } from '../delivery/http/create-http-guard.ts';
import { vectorTableDdl } from '../delivery/vector/vector-table.ts';
import { type VectorTargetParts, vectorTarget } from '../delivery/vector-target.ts';
import { tryOutAtTarget } from '../replay/try-out-at-target.ts';
import { aRequest, aTry } from './delivery-support/a-delivery.ts';
import { type EmbeddingServer, startEmbeddingServer } from './delivery-support/embedding-server.ts';
import { startVectorDatabase, type VectorDatabase } from './support/vector-database.ts';

const DIMENSIONS = 16;
const TABLE = { schema: 'search', table: 'pieces', sql: '"search"."pieces"' };

let database: VectorDatabase;
let embeddings: EmbeddingServer;
let guard: HttpGuard;
beforeAll(async () => {
  database = await startVectorDatabase();
  embeddings = await startEmbeddingServer();
  guard = createHttpGuard({ allowCidrs: ['127.0.0.0/8'] });
  await database.exec('create extension vector; create schema search');
});
beforeEach(async () => {
  embeddings.calls.length = 0;
  await database.exec(
    `drop table if exists ${TABLE.sql} cascade; ${vectorTableDdl(TABLE, DIMENSIONS)};
     create index on ${TABLE.sql} using hnsw (embedding vector_cosine_ops)`,
  );
});
afterAll(async () => {
  await guard.close();
  await embeddings.close();
  await database.close();
});

const opened: DeliveryTarget[] = [];
afterEach(async () => {
  for (const one of opened.splice(0)) await one.close?.();
});

function targetWith(more: { url?: VectorTargetParts['url']; dimensions?: number } = {}): DeliveryTarget {
  const made = vectorTarget({
    url: more.url ?? (async () => database.url),
    embedding: {
      url: embeddings.url,
      model: 'bag-of-words',
      dimensions: more.dimensions ?? DIMENSIONS,
      apiKey: async () => 'a-key',
    },
    guard,
    connections: 1,
  });
  opened.push(made);
  return made;
}

const requestFor = (more: Parameters<typeof aRequest>[0] = {}) =>
  aRequest({ targetKind: 'vector', targetRef: 'search.pieces', event: { subject: 'iu-7' }, ...more });
const tried = (request = requestFor(), config = {}, target = targetWith()) =>
  target.tryOut?.(request, aTry(config));
const rows = () =>
  database.rows<{ subject_key: string; content: string }>(`select subject_key, content from ${TABLE.sql}`);

test('a row that can be written is fixed; nothing stays, and the embedding endpoint is not called', async () => {
  const target = targetWith();
  const request = requestFor();
  expect(await tried(request, {}, target)).toEqual({
    verdict: 'fixed',
    because: 'the embedding endpoint was not called',
  });
  expect(await rows()).toEqual([]);
  expect(embeddings.calls).toEqual([]);
  expect((await target.deliver(request, aTry())).status).toBe('sent');
  expect(await rows()).toHaveLength(1);
});

test('a row that is there, or comes from a later event, is said and stays as it is', async () => {
  const target = targetWith();
  const later = requestFor({ payload: { text: 'later' }, event: { subject: 'iu-7', subjectSeq: '2' } });
  await target.deliver(later, aTry());
  expect(await tried(later, {}, target)).toEqual({
    verdict: 'fixed',
    because: 'the table has the row of the event already',
  });
  const earlier = requestFor({ event: { subject: 'iu-7', subjectSeq: '1' } });
  expect(await tried(earlier, {}, target)).toEqual({
    verdict: 'fixed',
    because: 'the row of its subject comes from a later event and stays',
  });
  const next = requestFor({ payload: { text: 'next' }, event: { subject: 'iu-7', subjectSeq: '3' } });
  expect(await tried(next, {}, target)).toMatchObject({ verdict: 'fixed' });
  expect((await rows()).map(({ content }) => content)).toEqual(['later']);
});

test.each([
  ['the table', `drop table ${TABLE.sql}`, 'There is no table "search"."pieces"'],
  ['a column', `alter table ${TABLE.sql} drop column content`, 'content text is missing'],
  [
    'the dimensions',
    `alter table ${TABLE.sql} alter column embedding type vector(3)`,
    'has 3 dimensions, and the configuration says 16',
  ],
  ['the key', `alter table ${TABLE.sql} drop constraint pieces_pkey`, 'Nothing keeps subject_key'],
  [
    'a constraint of its own',
    `alter table ${TABLE.sql} add constraint short check (length(content) < 3)`,
    'PostgreSQL refused the row (23514)',
  ],
])('%s that a delivery would fail by is found', async (_, change, said) => {
  await database.exec(`drop index search.pieces_embedding_idx; ${change}`);
  const found = await tried();
  expect(found).toMatchObject({ verdict: 'still_failing', because: expect.stringContaining(said) });
  expect((await targetWith().deliver(requestFor(), aTry())).status).toBe('failed');
});

test('rights that are missing are found', async () => {
  await database.exec(`
    create role reader login; grant usage on schema search to reader; grant select on ${TABLE.sql} to reader`);
  await database.exec('set role reader');
  try {
    expect(await tried()).toMatchObject({
      verdict: 'still_failing',
      because: expect.stringMatching(/may not insert, update|permission denied/),
    });
  } finally {
    await database.exec('reset role');
  }
});

test('a payload without the text, and a text that is too large, still fail; nobody is connected to', async () => {
  const nowhere = targetWith({
    url: async () => {
      throw new Error('asked for the URL');
    },
  });
  expect(await tried(requestFor({ payload: { title: 'x' } }), {}, nowhere)).toEqual({
    verdict: 'still_failing',
    because: 'The payload has no text at `text`',
  });
  expect(await tried(requestFor({ payload: { body: 'x' } }), { text_path: 'body' })).toMatchObject({
    verdict: 'fixed',
  });
  expect(
    await tried(requestFor({ payload: { text: 'x'.repeat(500) } }), { max_body_bytes: 300 }, nowhere),
  ).toMatchObject({ verdict: 'still_failing', because: expect.stringContaining('the route allows 300') });
  expect(await tried(requestFor({ targetRef: 'pieces' }), {}, nowhere)).toMatchObject({
    verdict: 'still_failing',
  });
});

test('a database that cannot be reached, and a secret that cannot be had, say nothing about the letter', async () => {
  const url = async () => 'postgresql://u:canary-pw@127.0.0.1:1/none';
  const found = await tried(requestFor(), {}, targetWith({ url }));
  expect(found).toEqual({
    verdict: 'unknown',
    because: 'The database cannot be reached (ECONNREFUSED)',
  });
  const locked = async () => {
    throw new SluiceError('configuration_invalid', { what: 'No secret.', expected: '', safe: '' });
  };
  expect(await tried(requestFor(), {}, targetWith({ url: locked }))).toEqual({
    verdict: 'unknown',
    because: 'No secret',
  });
});

test('a letter that the embedding endpoint failed stays unknown; one that the table failed is fixed', async () => {
  const registry = deliveryRegistry([targetWith()]);
  const request = requestFor();
  const sample = {
    place: 1,
    dead_letter_id: request.eventRef,
    route_code: request.routeCode,
    fingerprint: '0123456789abcdef',
    target_kind: 'vector',
    target_ref: request.targetRef,
    config: {},
    mode: 'live',
    request: frozenDeliveryRequest(request),
    payload: request.safePayload,
  };
  const found = (failureCode: string, mode = 'live') =>
    tryOutAtTarget(registry, { ...sample, mode }, { delivery: NO_DELIVERY, failureCode, timeoutMs: 10_000 });
  for (const code of ['http_503', 'connect_refused', 'dimensions_differ', 'timeout']) {
    expect(await found(code)).toEqual({
      verdict: 'unknown',
      because: 'what failed may be the embedding endpoint, which is never called',
      isTried: true,
    });
  }
  expect(await found('sqlstate_42p01')).toMatchObject({ verdict: 'fixed', isTried: true });
  expect(await found('sqlstate_42p01', 'delivery_gate_closed')).toMatchObject({ verdict: 'fixed' });
  expect(await found('sqlstate_42p01', 'dry_run')).toMatchObject({ verdict: 'unknown', isTried: false });
  expect(await rows()).toEqual([]);
  expect(embeddings.calls).toEqual([]);
});
