import { toSql } from 'pgvector/pg';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { SluiceError } from '../contracts/error-codes.ts';
import type { DeliveryTarget } from '../delivery/delivery-target.ts';
import { createHttpGuard, type HttpGuard } from '../delivery/http/create-http-guard.ts';
import { readTableName } from '../delivery/vector/table-name.ts';
import { vectorTableDdl } from '../delivery/vector/vector-table.ts';
import { type VectorTargetParts, vectorTarget } from '../delivery/vector-target.ts';
import { aRequest, aTry } from './delivery-support/a-delivery.ts';
import {
  type EmbeddingServer,
  embeddingOf,
  startEmbeddingServer,
} from './delivery-support/embedding-server.ts';
import { createDatabase } from './support/create-database.ts';
import { startTcpProxy } from './support/tcp-proxy.ts';
import { startVectorDatabase, type VectorDatabase } from './support/vector-database.ts';

const DIMENSIONS = 64;
const API_KEY = 'canary-key-8f1d';
const TABLE = { schema: 'search', table: 'Pieces', sql: '"search"."Pieces"' };

let database: VectorDatabase;
let embeddings: EmbeddingServer;
let guard: HttpGuard;
let target: DeliveryTarget;
beforeAll(async () => {
  database = await startVectorDatabase();
  embeddings = await startEmbeddingServer();
  guard = createHttpGuard({ allowCidrs: ['127.0.0.0/8'] });
  await database.exec(`create extension vector; create schema search; ${vectorTableDdl(TABLE, DIMENSIONS)}`);
  target = targetWith();
});
beforeEach(async () => {
  embeddings.answer = null;
  embeddings.calls.length = 0;
  await database.exec(`truncate ${TABLE.sql}`);
});
afterAll(async () => {
  await target.close?.();
  await guard.close();
  await embeddings.close();
  await database.close();
});

const opened: DeliveryTarget[] = [];
afterEach(async () => {
  for (const one of opened.splice(0)) if (one !== target) await one.close?.();
});

function targetWith(
  more: Partial<VectorTargetParts['embedding']> & { readonly url?: string } & {
    readonly databaseUrl?: VectorTargetParts['url'];
  } = {},
): DeliveryTarget {
  const { databaseUrl, ...embedding } = more;
  const made = vectorTarget({
    url: databaseUrl ?? (async () => database.url),
    embedding: {
      url: embeddings.url,
      model: 'bag-of-words',
      dimensions: DIMENSIONS,
      apiKey: async () => API_KEY,
      ...embedding,
    },
    guard,
    connections: 1,
  });
  opened.push(made);
  return made;
}

const requestFor = (more: Parameters<typeof aRequest>[0] = {}) =>
  aRequest({ targetKind: 'vector', targetRef: 'search.Pieces', ...more });

/** An event of one subject with its place and text. */
const piece = (text: string, event: NonNullable<Parameters<typeof aRequest>[0]>['event'] = {}) =>
  requestFor({ payload: { text }, event: { subject: 'iu-7', ...event } });

interface Row {
  readonly subject_key: string;
  readonly content: string;
  readonly source_event: string;
  readonly subject_seq: string | null;
}
const rows = () =>
  database.rows<Row>(
    `select subject_key, content, source_event, subject_seq::text as subject_seq from ${TABLE.sql} order by subject_key`,
  );

test('an event becomes a row, which its neighbour in meaning finds', async () => {
  const texts = {
    apples: 'apples and pears grow on trees',
    ships: 'ships sail across the sea',
    stars: 'stars shine in the night sky',
  };
  for (const [subject, text] of Object.entries(texts)) {
    const request = requestFor({ payload: { text }, event: { subject } });
    expect(await target.deliver(request, aTry())).toEqual({
      status: 'sent',
      delivered: true,
      targetKind: 'vector',
      detail: {
        table: 'search.Pieces',
        subject_key: `subject:iu/${subject}`,
        dimensions: DIMENSIONS,
        already_there: false,
      },
    });
  }
  for (const operator of ['<->', '<=>']) {
    const [nearest] = await database.rows<{ content: string }>(
      `select content from ${TABLE.sql} order by embedding ${operator} $1 limit 1`,
      [toSql(embeddingOf('which ships cross the sea', DIMENSIONS))],
    );
    expect(nearest?.content).toBe(texts.ships);
  }
  expect(embeddings.calls[0]).toMatchObject({
    headers: { authorization: `Bearer ${API_KEY}`, 'content-type': 'application/json' },
    body: { model: 'bag-of-words', input: texts.apples, dimensions: DIMENSIONS },
  });
});

test('a row says where it comes from, and keeps the payload to the last digit', async () => {
  const request = requestFor({
    safePayload: '{"body": {"parts": [{"text": "Grüße 🙂"}]}, "id": 12345678901234567890}',
    event: { subjectSeq: '42', domain: 'i/u' },
  });
  await target.deliver(request, aTry({ text_path: '$.body.parts[0].text' }));
  const [row] = await database.rows<Record<string, unknown>>(
    `select subject_key, content, metadata::text as metadata, metadata->>'model' as model, source_event,
            subject_seq::text as seq, to_char(event_at at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS.US') as at,
            idempotency_key
       from ${TABLE.sql}`,
  );
  expect(row).toMatchObject({
    subject_key: 'subject:i%2Fu/pilot.iu0.test-001',
    content: 'Grüße 🙂',
    metadata: expect.stringContaining('"id": 12345678901234567890'),
    model: 'bag-of-words',
    source_event: request.eventRef,
    seq: '42',
    at: '2026-05-21 10:00:00.000001',
    idempotency_key: request.idempotencyKey,
  });
});

test('a repeat changes nothing, and costs no embedding', async () => {
  const request = piece('first');
  await target.deliver(request, aTry());
  const before = await database.rows(`select *, xmin::text from ${TABLE.sql}`);
  const second = { ...request, safePayload: '{"text": "another text under the same key"}' };
  expect(await target.deliver(second, aTry())).toMatchObject({
    status: 'sent',
    delivered: true,
    detail: { already_there: true },
  });
  expect(await targetWith().deliver(request, aTry())).toMatchObject({ detail: { already_there: true } });
  expect(await database.rows(`select *, xmin::text from ${TABLE.sql}`)).toEqual(before);
  expect(embeddings.calls).toHaveLength(1);
});

test('by the number in its subject, a newer event takes the row and an older one is skipped', async () => {
  // The times say the contrary: where both have a number, only that counts.
  const at = (second: number) => `2026-05-21T10:00:0${second}.000000Z`;
  await target.deliver(piece('two', { subjectSeq: '2', createdAt: at(5) }), aTry());
  expect(await target.deliver(piece('nine', { subjectSeq: '9', createdAt: at(4) }), aTry())).toMatchObject({
    status: 'sent',
  });
  const ten = piece('ten', { subjectSeq: '10', createdAt: at(3) });
  expect((await target.deliver(ten, aTry())).status).toBe('sent');
  const older = await target.deliver(piece('three', { subjectSeq: '3', createdAt: at(9) }), aTry());
  expect(older).toMatchObject({ status: 'skipped', delivered: false, detail: { because: 'older' } });
  expect(await rows()).toEqual([
    { subject_key: 'subject:iu/iu-7', content: 'ten', source_event: ten.eventRef, subject_seq: '10' },
  ]);
  expect(embeddings.calls.map(({ body }) => body.input)).toEqual(['two', 'nine', 'ten']);
});

test('without a number the time counts, to the microsecond', async () => {
  const at = (microsecond: number) => `2026-05-21T10:00:00.00000${microsecond}Z`;
  await target.deliver(piece('at 5', { createdAt: at(5) }), aTry());
  expect((await target.deliver(piece('at 4', { createdAt: at(4), subjectSeq: '99' }), aTry())).status).toBe(
    'skipped',
  );
  expect((await target.deliver(piece('at 6', { createdAt: at(6) }), aTry())).status).toBe('sent');
  expect((await rows()).map(({ content }) => content)).toEqual(['at 6']);
});

test('an older event that comes while a newer one is embedded does not take its row', async () => {
  const newer = piece('newer', { subjectSeq: '2' });
  embeddings.answer = async ({ body }, response) => {
    embeddings.answer = null;
    // While the older one waits for its embedding, the newer one is written.
    await targetWith().deliver(newer, aTry());
    const embedding = embeddingOf(body.input, DIMENSIONS);
    response.end(JSON.stringify({ data: [{ embedding }] }));
  };
  expect(await target.deliver(piece('older', { subjectSeq: '1' }), aTry())).toMatchObject({
    status: 'skipped',
    detail: { because: 'older' },
  });
  expect((await rows()).map(({ content }) => content)).toEqual(['newer']);
});

test('events without a subject have a row each, and other domains share none', async () => {
  for (const event of [
    { subject: null },
    { subject: null },
    { subject: '' },
    { subject: 'x' },
    { domain: 'uv', subject: 'x' },
  ])
    await target.deliver(requestFor({ event }), aTry());
  expect(await rows()).toHaveLength(5);
});

test('many at once over one connection all land', { timeout: 60_000 }, async () => {
  const outcomes = await Promise.all(
    Array.from({ length: 40 }, (_, index) =>
      target.deliver(
        piece(`number ${index}`, { subject: `s-${index % 20}`, subjectSeq: `${index}` }),
        aTry(),
      ),
    ),
  );
  expect(outcomes.filter(({ status }) => status === 'failed')).toEqual([]);
  const found = await rows();
  expect(found).toHaveLength(20);
  expect(found.every(({ subject_seq }) => Number(subject_seq) >= 20)).toBe(true);
});

test.each([
  [401, 'http_401', false, undefined],
  [400, 'http_400', false, undefined],
  [302, 'redirect_refused', false, undefined],
  [408, 'http_408', true, undefined],
  [429, 'http_429', true, 7_000],
  [500, 'http_500', true, undefined],
  [503, 'http_503', true, 7_000],
])('an embedding endpoint that answers %i gives %s', async (status, code, mayRetry, retryAfterMs) => {
  embeddings.answer = (_, response) => {
    response.writeHead(status, { location: '/x', ...(retryAfterMs && { 'retry-after': '7' }) }).end(API_KEY);
  };
  const outcome = await target.deliver(piece('a text'), aTry());
  expect(outcome).toMatchObject({
    status: 'failed',
    failure: { code, mayRetry, retryAfterMs: retryAfterMs ?? null },
  });
  expect(JSON.stringify(outcome)).not.toContain(API_KEY);
  expect(await rows()).toEqual([]);
});

test.each([
  ['no JSON', 'answer_malformed'],
  ['{"data": []}', 'answer_malformed'],
  ['{"data": [{"embedding": "AAAA"}]}', 'answer_malformed'],
  ['{"data": [{"embedding": [1, null]}]}', 'answer_malformed'],
  ['{"data": [{"embedding": [1, 2, 3]}]}', 'dimensions_differ'],
])('an embedding endpoint that answers %s gives %s, for good', async (body, code) => {
  embeddings.answer = (_, response) => response.end(body);
  expect((await target.deliver(piece('a text'), aTry())).failure).toMatchObject({ code, mayRetry: false });
  expect(await rows()).toEqual([]);
});

test('an endpoint that is away, answers nothing, or may not be reached is told apart', async () => {
  embeddings.answer = () => undefined;
  expect((await target.deliver(piece('a'), aTry({ timeout_ms: 300 }))).failure).toMatchObject({
    code: 'timeout',
    mayRetry: true,
  });
  embeddings.answer = (_, response) => response.socket?.destroy();
  expect((await target.deliver(piece('a'), aTry())).failure).toMatchObject({
    code: 'connection_cut',
    mayRetry: true,
  });
  const gone = await startEmbeddingServer();
  await gone.close();
  const nobody = targetWith({ url: gone.url });
  expect((await nobody.deliver(piece('a'), aTry())).failure).toMatchObject({
    code: 'connect_refused',
    mayRetry: true,
  });
  const inside = targetWith({ url: 'http://169.254.169.254/v1/embeddings' });
  expect((await inside.deliver(piece('a'), aTry())).failure).toMatchObject({
    code: 'address_refused',
    mayRetry: false,
  });
});

test('a text that is missing, empty, no text or too long is refused before anything is asked', async () => {
  for (const payload of [{}, { text: null }, { text: 7 }, { text: ' \n' }, 'text', null, [{ text: 'a' }]]) {
    expect((await target.deliver(requestFor({ payload }), aTry())).failure).toMatchObject({
      code: 'request_invalid',
      mayRetry: false,
      message: 'The payload has no text at `text`.',
    });
  }
  const inherited = requestFor({ payload: { a: 1 } });
  expect((await target.deliver(inherited, aTry({ text_path: '__proto__.x' }))).status).toBe('failed');
  expect((await target.deliver(piece('x'.repeat(600_000)), aTry())).failure).toMatchObject({
    code: 'payload_too_large',
    mayRetry: false,
  });
  expect(embeddings.calls).toEqual([]);
  expect(target.fault('search.Pieces', { text_path: 'a..b' })).toContain('text_path');
  expect(target.fault('search.Pieces', { texts: 'a' })).toContain('texts');
});

test.each([
  'pieces',
  'a.b.c',
  '.b',
  'a.',
  'a b.c',
  'a.b;drop table x',
  '"a"."b"',
  'a.b--',
  'ä.b',
  'a.b\n',
  `a.${'b'.repeat(64)}`,
])('%j is no name of a table', async (targetRef) => {
  expect(readTableName(targetRef)).toBeNull();
  expect(target.fault(targetRef, {})).toBe('A table of vectors is named `schema.table`.');
  expect((await target.deliver(requestFor({ targetRef }), aTry())).failure).toMatchObject({
    code: 'target_ref_malformed',
    mayRetry: false,
  });
});

test('a table, column or number of dimensions that is not there fails for good', async () => {
  await database.exec(`
    create table search.narrow (like ${TABLE.sql} including all);
    alter table search.narrow alter column embedding type vector(3);
    create table search.short (subject_key text primary key);
  `);
  const failureOf = async (targetRef: string) =>
    (await target.deliver(requestFor({ targetRef }), aTry())).failure;
  expect(await failureOf('search.nowhere')).toMatchObject({
    code: 'sqlstate_42p01',
    mayRetry: false,
    message: expect.stringContaining('"search.nowhere" does not exist'),
  });
  expect(await failureOf('search.short')).toMatchObject({ code: 'sqlstate_42703', mayRetry: false });
  expect(await failureOf('search.narrow')).toMatchObject({ code: 'sqlstate_22000', mayRetry: false });
});

test('a database that is away may be tried again, and is found when it is back', {
  timeout: 60_000,
}, async () => {
  const proxy = await startTcpProxy(database.url);
  try {
    const through = targetWith({ databaseUrl: async () => proxy.url(database.url) });
    expect((await through.deliver(piece('before'), aTry())).status).toBe('sent');
    proxy.onRequest = (data) => (data.includes('select case') ? 'cut' : 'pass');
    expect((await through.deliver(piece('cut'), aTry())).failure).toMatchObject({
      code: 'connection_cut',
      mayRetry: true,
    });
    await proxy.refuse();
    expect((await through.deliver(piece('away'), aTry())).failure).toMatchObject({
      code: 'connect_refused',
      mayRetry: true,
    });
    proxy.onRequest = () => 'pass';
    await proxy.accept();
    expect((await through.deliver(piece('back', { subject: 'other' }), aTry())).status).toBe('sent');
  } finally {
    await proxy.close();
  }
});

test('a commit whose answer is lost has one effect', { timeout: 60_000 }, async () => {
  const proxy = await startTcpProxy(database.url);
  try {
    const through = targetWith({ databaseUrl: async () => proxy.url(database.url) });
    let commits = 0;
    proxy.onRequest = (data) => {
      if (!data.includes('commit\0')) return 'pass';
      commits += 1;
      return commits === 2 ? 'deliver and cut' : 'pass';
    };
    const request = piece('once');
    expect((await through.deliver(request, aTry())).failure).toMatchObject({
      code: 'connection_cut',
      mayRetry: true,
    });
    expect(await through.deliver(request, aTry())).toMatchObject({
      status: 'sent',
      detail: { already_there: true },
    });
    expect(embeddings.calls).toHaveLength(1);
  } finally {
    await proxy.close();
  }
});

test('a secret that cannot be had may be tried again, and a new URL is used', async () => {
  const unresolved = async () => {
    throw new SluiceError('configuration_invalid', {
      what: 'A secret cannot be had: the variable KEY is not set.',
      expected: '',
      safe: '',
    });
  };
  for (const without of [targetWith({ apiKey: unresolved }), targetWith({ databaseUrl: unresolved })]) {
    expect((await without.deliver(piece('a'), aTry())).failure).toMatchObject({
      code: 'secret_unresolved',
      mayRetry: true,
      message: 'A secret cannot be had: the variable KEY is not set.',
    });
  }
  const urls = ['no url', 'postgresql://postgres:wrong@127.0.0.1:9/postgres', database.url];
  const rotating = targetWith({ databaseUrl: async () => urls.shift() ?? '' });
  const codes = [];
  for (let tries = 0; tries < 3; tries += 1) {
    const { status, failure } = await rotating.deliver(piece('a'), aTry());
    codes.push(failure?.code ?? status);
    expect(String(failure?.message)).not.toContain('wrong');
  }
  expect(codes).toEqual(['secret_unresolved', 'connect_refused', 'sent']);
});

test('an inspection accepts the table that its own words make, and says what another lacks', async () => {
  const inspect = (targetRef: string, by = target) =>
    Promise.resolve(by.inspect?.(targetRef, {}, aTry().signal));
  await inspect('search.Pieces');
  await database.exec(`
    create table search.few (subject_key text primary key, embedding vector(${DIMENSIONS}), subject_seq text);
    create table search.keyless as select * from ${TABLE.sql};
    create table search.small (like ${TABLE.sql} including all);
    alter table search.small alter column embedding type vector(3);
  `);
  const refusals = {
    'search.none': ['no table "search"."none"', `embedding       vector(${DIMENSIONS}) not null`],
    'search.few': ['content text is missing', 'subject_seq is text, not bigint or numeric'],
    'search.keyless': ['subject_key of "search"."keyless" unique', 'add primary key (subject_key)'],
    'search.small': ['3 dimensions', `vector(${DIMENSIONS})`],
    none: ['named `schema.table`', 'search.pieces'],
  };
  for (const [targetRef, words] of Object.entries(refusals)) {
    const refusal = await inspect(targetRef).catch((error: unknown) => error);
    expect(refusal).toMatchObject({ name: 'SluiceError', code: 'route_refused' });
    for (const word of words) expect(String(refusal)).toContain(word);
  }
  const made = /create table [\s\S]*;/.exec(String(await inspect('search.none').catch(String)))?.[0] ?? '';
  await database.exec(made);
  await inspect('search.none');
  expect(embeddings.calls).toEqual([]);
});

test.each([15, 18] as const)(
  'on PostgreSQL %i without pgvector an inspection says what is missing',
  async (major) => {
    const plain = await createDatabase({ major, prefix: 'no_vector' });
    const without = targetWith({ databaseUrl: async () => plain.url });
    const refusal = await Promise.resolve(without.inspect?.('search.pieces', {}, aTry().signal)).catch(
      (error: unknown) => error,
    );
    expect(refusal).toBeInstanceOf(SluiceError);
    expect(refusal).toMatchObject({
      code: 'route_refused',
      text: {
        what: `Extension vector is missing in database ${plain.name}.`,
        expected: expect.stringContaining('create extension vector'),
        safe: 'No vector was written.',
      },
    });
    expect((await without.deliver(requestFor(), aTry())).failure).toMatchObject({
      code: 'sqlstate_42p01',
      mayRetry: false,
    });
    await without.close?.();
  },
);
