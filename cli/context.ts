import path from 'node:path';
import type pg from 'pg';
import type { TargetAccess } from '../activities/dependencies.ts';
import type { Config } from '../config/config.ts';
import { findTarget } from '../config/find-target.ts';
import { loadConfig } from '../config/load-config.ts';
import { resolveTargetAccess } from '../config/open-target.ts';
import { SluiceError } from '../contracts/error-codes.ts';
import { MACRO_TASK_QUEUE } from '../contracts/names.ts';
import { assertEngineCurrent } from '../target/install-engine.ts';
import { mapDatabaseError } from '../target/map-database-error.ts';
import { openSession } from '../target/open-session.ts';
import { type GlobalOptions, type OutputFormat, outputOf } from './options.ts';
import type { FoundTemporal, TemporalAccess } from './temporal-access.ts';

/** What a command works with; nothing is connected to before it is asked for. */
export interface Context {
  readonly config: Config;
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
  /** Where the embedded servers keep their data and reports are written by default. */
  readonly stateDir: string;
  readonly output: OutputFormat;
  readonly taskQueue: string;
  /** Name of the target that is meant. @throws SluiceError `target_not_found` */
  targetName(): string;
  /** The target, or another one, with its secrets. */
  target(name?: string): Promise<TargetAccess>;
  /** Runs work in a session of the target; errors of the database leave as SluiceErrors. */
  session<T>(doing: string, work: (client: pg.Client, target: TargetAccess) => Promise<T>): Promise<T>;
  /** The same, on a target whose engine schema is current. @throws SluiceError `engine_schema_missing`, … */
  record<T>(doing: string, work: (client: pg.Client, target: TargetAccess) => Promise<T>): Promise<T>;
  /** Where Temporal is, without a connection. */
  temporalServer(): Promise<FoundTemporal>;
  /** One connection for the whole command. */
  temporal(): Promise<TemporalAccess>;
  close(): Promise<void>;
}

export interface ContextOptions extends GlobalOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
}

/** @throws SluiceError `configuration_invalid` */
export async function openContext(options: ContextOptions = {}): Promise<Context> {
  const env = options.env ?? process.env;
  const cwd = path.resolve(options.cwd ?? process.cwd());
  const stateDir = path.join(cwd, '.sluice');
  const config = await loadConfig({ cwd, env, flags: flagsOf(options) });
  let opened: Promise<TemporalAccess> | undefined;

  const context: Context = {
    config,
    env,
    cwd,
    stateDir,
    output: outputOf(options),
    taskQueue: options.taskQueue ?? MACRO_TASK_QUEUE,
    targetName: () => findTarget(config).name,
    target: (name = context.targetName()) => resolveTargetAccess(config, name, { env, stateDir }),
    async session(doing, work) {
      const target = await context.target();
      const client = await openSession({ url: target.url, applicationName: `sluice: ${doing}` }).catch(
        (error) => {
          throw unanswered(error);
        },
      );
      try {
        return await work(client, target);
      } catch (error) {
        throw isOfDatabase(error) ? mapDatabaseError(error, doing) : error;
      } finally {
        await client.end().catch(() => undefined);
      }
    },
    record: (doing, work) =>
      context.session(doing, async (client, target) => {
        await assertEngineCurrent(client);
        return work(client, target);
      }),
    async temporalServer() {
      const { findTemporalServer } = await import('./temporal-access.ts');
      return findTemporalServer(config, env, stateDir);
    },
    temporal() {
      opened ??= import('./temporal-access.ts').then(async ({ openTemporal }) =>
        openTemporal(await context.temporalServer()),
      );
      return opened;
    },
    async close() {
      await opened?.then(
        (temporal) => temporal.close(),
        () => undefined,
      );
    },
  };
  return context;
}

/** Opens a context for a piece of work, and closes it. */
export async function withContext<T>(
  options: ContextOptions,
  work: (context: Context) => Promise<T>,
): Promise<T> {
  const context = await openContext(options);
  try {
    return await work(context);
  } finally {
    await context.close();
  }
}

function flagsOf(options: GlobalOptions) {
  const given = {
    config: options.config,
    target: options.target,
    temporalAddress: options.temporalAddress,
    temporalNamespace: options.temporalNamespace,
    temporalUiUrl: options.temporalUiUrl,
    macroDirs: options.macroDir,
    backupDir: options.backupDir,
  };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

/** A target that no session could be opened on, in the words of a command. */
function unanswered(error: unknown): unknown {
  if (!(error instanceof SluiceError)) return error;
  const { what } = error.text;
  const expected = 'A PostgreSQL that answers within 10 s and takes the credentials; `sluice doctor` looks.';
  return new SluiceError(error.code, { what, expected, safe: 'Nothing was changed.' }, { cause: error });
}

/** An error of the server or of the socket under it has a code of five characters or of the system. */
function isOfDatabase(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' && (/^[0-9A-Z]{5}$/.test(code) || /^E[A-Z]+$/.test(code));
}
