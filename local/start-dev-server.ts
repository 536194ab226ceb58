import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { SluiceError } from '../contracts/error-codes.ts';
import { SEARCH_ATTRIBUTES } from '../contracts/names.ts';
import type { TemporalProgram } from './find-temporal.ts';
import { freePort } from './free-port.ts';
import { listens } from './listens.ts';
import { logSize, logTail } from './log-tail.ts';
import { type ProcessIdentity, processIdentity } from './process-identity.ts';
import { stopProcess } from './stop-process.ts';
import { registerSearchAttributes } from './temporal-ready.ts';
import { withLock } from './with-lock.ts';

export interface DevServerOptions {
  readonly program: TemporalProgram;
  /** Keeps the workflows between runs; in memory when absent. */
  readonly dbFile?: string;
  readonly logFile: string;
  /** Taken if it is free. */
  readonly wantedPort?: number;
  readonly wantedUiPort?: number;
  readonly namespaces?: readonly string[];
  readonly signal?: AbortSignal;
  /** Told of the process before it is ready, so that it is not lost if the caller dies. */
  readonly onSpawn?: (server: DevServer) => void;
}

export interface DevServer {
  readonly process: ProcessIdentity;
  readonly address: string;
  readonly uiUrl: string;
}

const READY_WITHIN_MS = 60_000;
const ATTEMPTS = 5;

/**
 * Starts the Temporal dev server on 127.0.0.1 with the search attributes registered. It is detached: it
 * outlives the caller. One history shard polled 20 times a second makes 97 ms of every activity; the two
 * dynamic settings make that 12 ms.
 * @throws {SluiceError} `temporal_unreachable` with the end of the log
 */
export async function startDevServer(options: DevServerOptions): Promise<DevServer> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await onFreePorts(options, attempt === 1);
    } catch (error) {
      options.signal?.throwIfAborted();
      const text = error instanceof Error ? error.message : String(error);
      if (!/address already in use/.test(text) || attempt === ATTEMPTS) throw notStarted(options, error);
    }
  }
}

/** Stops a dev server cleanly, then by force. Resolves to whether it is gone. */
export async function stopDevServer(known: ProcessIdentity): Promise<boolean> {
  return await stopProcess(known, [
    { signal: 'SIGINT', withinMs: 15_000 },
    { signal: 'SIGKILL', withinMs: 5_000 },
  ]);
}

/** One starter at a time chooses ports, or the loser would take the winner's server for its own. */
async function onFreePorts(options: DevServerOptions, asWanted: boolean): Promise<DevServer> {
  const lock = join(tmpdir(), `sluice-ports-${process.getuid?.() ?? 'user'}.lock`);
  const waiting = { ...(options.signal && { signal: options.signal }), waitingFor: 'another start' };
  const started = await withLock(lock, waiting, async () => {
    const port = await freePort(asWanted ? options.wantedPort : undefined);
    const uiPort = await freePort(asWanted ? options.wantedUiPort : undefined);
    const child = launch(options, port, uiPort);
    await child.until(async () => (await listens(port)) && (await listens(uiPort)));
    return child;
  });
  await started.until(async () => {
    await registerSearchAttributes({
      connectionOptions: { address: started.server.address },
      namespace: options.namespaces?.[0] ?? 'default',
    });
    return true;
  });
  return started.server;
}

interface Launched {
  readonly server: DevServer;
  /** Waits for the condition; ends the server and throws when it does not come true. */
  until(condition: () => Promise<boolean>): Promise<void>;
}

function launch(options: DevServerOptions, port: number, uiPort: number): Launched {
  const flags = [
    ['--ip', '127.0.0.1', '--port', String(port), '--ui-port', String(uiPort), '--log-level', 'error'],
    options.dbFile === undefined ? [] : ['--db-filename', options.dbFile],
    ...(options.namespaces ?? []).map((name) => ['--namespace', name]),
    ...['transfer', 'timer'].map((queue) => [
      '--dynamic-config-value',
      `history.${queue}ProcessorMaxPollRPS=2000`,
    ]),
    ...SEARCH_ATTRIBUTES.map((name) => ['--search-attribute', `${name}=Keyword`]),
  ];
  const logStart = logSize(options.logFile);
  const log = openSync(options.logFile, 'a', 0o600);
  const child = spawn(options.program.path, ['server', 'start-dev', ...flags.flat()], {
    env: withoutTemporal(process.env),
    detached: true,
    stdio: ['ignore', log, log],
  });
  closeSync(log);
  let ended: string | undefined;
  child.once('error', (error) => {
    ended = error.message;
  });
  child.once('exit', (code, signal) => {
    ended = `temporal ended with ${code ?? signal}`;
  });
  child.unref();
  const known = child.pid === undefined ? undefined : processIdentity(child.pid);
  if (known === undefined) throw new Error(`${options.program.path} could not be run`);
  const server = { process: known, address: `127.0.0.1:${port}`, uiUrl: `http://127.0.0.1:${uiPort}` };
  options.onSpawn?.(server);
  const deadline = Date.now() + READY_WITHIN_MS;
  return {
    server,
    async until(condition) {
      try {
        for (;;) {
          options.signal?.throwIfAborted();
          if (ended !== undefined) throw new Error(`${ended}\n${logTail(options.logFile, logStart)}`);
          const late = Date.now() > deadline;
          const met = await condition().catch((error) => {
            if (late) throw error;
            return false;
          });
          if (met && ended === undefined) return;
          if (late) throw new Error(`no answer on port ${port}\n${logTail(options.logFile, logStart)}`);
          await delay(25);
        }
      } catch (error) {
        await stopDevServer(known);
        throw error;
      }
    },
  };
}

function withoutTemporal(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('TEMPORAL_')));
}

function notStarted(options: DevServerOptions, cause: unknown): SluiceError {
  return new SluiceError(
    'temporal_unreachable',
    {
      what: `The Temporal dev server (${options.program.path}) did not start: ${cause instanceof Error ? cause.message : cause}`,
      expected: `It answers within ${READY_WITHIN_MS / 1000} s; its log is ${options.logFile}.`,
      safe: 'Its data is left as it is; try again, or name a server of your own with TEMPORAL_ADDRESS.',
    },
    { cause },
  );
}
