import { PGlite } from '@electric-sql/pglite';
import { vector } from '@electric-sql/pglite-pgvector';
import { PGLiteSocketServer } from '@electric-sql/pglite-socket';

/** A PostgreSQL that can have pgvector, where the servers of the run have none. */
export interface VectorDatabase {
  readonly url: string;
  /** Runs statements in the database itself, beside its connections. */
  exec(sql: string): Promise<void>;
  rows<Row>(sql: string, parameters?: unknown[]): Promise<Row[]>;
  close(): Promise<void>;
}

/**
 * Starts PGlite's build with pgvector behind its socket server, in this process. It answers one connection after the
 * other, so keep a pool at one; `create extension vector` is for the test to say.
 */
export async function startVectorDatabase(): Promise<VectorDatabase> {
  const database = await PGlite.create({ extensions: { vector } });
  // A connection that goes is still counted when the next one comes.
  const server = new PGLiteSocketServer({ db: database, port: 0, maxConnections: 10 });
  await server.start();
  return {
    url: `postgresql://postgres@${server.getServerConn()}/postgres`,
    async exec(sql) {
      await database.exec(sql);
    },
    rows: async <Row>(sql: string, parameters: unknown[] = []) =>
      (await database.query<Row>(sql, parameters)).rows,
    async close() {
      await server.stop();
      await database.close();
    },
  };
}
