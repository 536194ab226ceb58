import { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';

/** A connection that is expected to break. */
export interface ChaosLine {
  query<Row extends pg.QueryResultRow>(sql: string, values?: readonly unknown[]): Promise<Row[]>;
  /** Drops the connection at once, as a killed process does; what was sent may still be carried out. */
  hangUp(): void;
  isBroken(): boolean;
  close(): Promise<void>;
}

const RECONNECTS_WITHIN_MS = 120_000;

/** Connects, and tries again for as long as the server is away. */
export async function chaosLine(url: () => string, applicationName: string): Promise<ChaosLine> {
  for (const until = Date.now() + RECONNECTS_WITHIN_MS; ; ) {
    try {
      return await connect(url(), applicationName);
    } catch (error) {
      if (Date.now() > until) throw error;
      await delay(50);
    }
  }
}

async function connect(connectionString: string, applicationName: string): Promise<ChaosLine> {
  const socket = new Socket();
  const client = new pg.Client({
    connectionString,
    application_name: applicationName,
    connectionTimeoutMillis: 10_000,
    stream: () => socket,
  });
  let broken = false;
  client.on('error', () => {
    broken = true;
  });
  client.on('end', () => {
    broken = true;
  });
  try {
    await client.connect();
  } catch (error) {
    socket.destroy();
    throw error;
  }
  return {
    async query<Row extends pg.QueryResultRow>(sql: string, values: readonly unknown[] = []) {
      return (await client.query<Row>(sql, [...values])).rows;
    },
    hangUp() {
      broken = true;
      socket.destroy();
    },
    isBroken: () => broken || socket.destroyed,
    async close() {
      await client.end().catch(() => undefined);
    },
  };
}
