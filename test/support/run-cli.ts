import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { findTarget } from '../../config/find-target.ts';
import { loadConfig } from '../../config/load-config.ts';
import { resolveTargetAccess } from '../../config/open-target.ts';
import { installEngine } from '../../target/install-engine.ts';
import { startWorker } from '../../worker.ts';
import { createDatabase, type DatabaseOptions, type TestDatabase } from './create-database.ts';
import { ownTaskQueue, temporalAddress, temporalUiUrl } from './temporal-address.ts';
import { workflowBundle } from './workflow-bundle.ts';

const SLUICE = fileURLToPath(new URL('../../bin/sluice.js', import.meta.url));

/** How a process of the command line ended. */
export interface CliRun {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CliOptions {
  readonly cwd: string;
  /** Besides those of this process, without any that names a server. */
  readonly env?: Readonly<Record<string, string>>;
}

/** Variables that would lead the process to other servers or settings than the test's. */
const FOREIGN =
  /^(DATABASE_URL|PG[A-Z]+|TEMPORAL_\w+|SLUICE_(?!CACHE|TEMPORAL_CLI|PG_BIN)\w+|NO_COLOR|FORCE_COLOR)$/;

/** Starts `sluice` as a process of its own, in pipes, without a terminal. */
export function spawnCli(args: readonly string[], { cwd, env = {} }: CliOptions) {
  const inherited = Object.entries(process.env).filter(([name]) => !FOREIGN.test(name));
  return execa(process.execPath, [SLUICE, ...args], {
    cwd,
    env: { ...Object.fromEntries(inherited), XDG_CONFIG_HOME: join(cwd, 'no-user-config'), ...env },
    extendEnv: false,
    stdin: 'ignore',
    reject: false,
  });
}

/** Runs `sluice` to its end. */
export async function runCli(args: readonly string[], options: CliOptions): Promise<CliRun> {
  const { exitCode, stdout, stderr, signal } = await spawnCli(args, options);
  if (exitCode === undefined) throw new Error(`sluice ${args.join(' ')} was ended by ${signal}\n${stderr}`);
  return { exitCode, stdout, stderr };
}

/** A working directory with a configuration for one target, which is a database of its own, and a worker for it. */
export interface CliProject {
  readonly dir: string;
  readonly target: string;
  readonly database: TestDatabase;
  readonly env: Readonly<Record<string, string>>;
  /** Runs `sluice` in it to its end. */
  sluice(...args: string[]): Promise<CliRun>;
  /** Starts `sluice` in it. */
  spawn(...args: string[]): ReturnType<typeof spawnCli>;
  /** Runs it with `--json`, and parses what it printed. */
  json<T>(...args: string[]): Promise<T>;
  /** Writes a macro: its manifest's steps as YAML, and its files. */
  macro(name: string, steps: string, files?: Readonly<Record<string, string>>): Promise<void>;
  close(): Promise<void>;
}

export interface CliProjectOptions extends Partial<DatabaseOptions> {
  readonly worker?: boolean;
}

export async function cliProject(options: CliProjectOptions = {}): Promise<CliProject> {
  const { worker: withWorker = true, ...wanted } = options;
  const database = await createDatabase({ major: 15, prefix: 'cli', ...wanted });
  const sql = await database.connect();
  await installEngine(sql);
  await sql.end();
  const dir = await mkdtemp(join(tmpdir(), 'sluice-cli-'));
  const target = database.name;
  const taskQueue = ownTaskQueue('cli');
  await writeFile(
    join(dir, 'sluice.yaml'),
    `targets:\n  ${target}:\n    url: { env: TARGET_URL }\n    lock_timeout: 500ms\n`,
  );
  const env = {
    TARGET_URL: database.url,
    TEMPORAL_ADDRESS: temporalAddress(),
    SLUICE_TEMPORAL_UI_URL: temporalUiUrl(),
    SLUICE_TASK_QUEUE: taskQueue,
    SLUICE_ACTOR: 'ana',
  };
  const worker = withWorker ? await workerOf(dir, env, taskQueue) : undefined;
  const sluice = (...args: string[]) => runCli(args, { cwd: dir, env });
  return {
    dir,
    target,
    database,
    env,
    sluice,
    spawn: (...args) => spawnCli(args, { cwd: dir, env }),
    async json<T>(...args: string[]) {
      const { stdout, stderr, exitCode } = await sluice(...args, '--json');
      if (stdout === '') throw new Error(`exit code ${exitCode}: ${stderr}`);
      return JSON.parse(stdout) as T;
    },
    async macro(name, steps, files = {}) {
      const texts = { 'macro.yaml': `macro: ${name}\ntitle: A macro of a test\nsteps:\n${steps}`, ...files };
      for (const [file, text] of Object.entries(texts)) {
        const path = join(dir, 'macros', name, file);
        await mkdir(dirname(path), { recursive: true });
        await writeFile(path, text);
      }
    },
    async close() {
      await worker?.stop();
      await database.drop();
    },
  };
}

async function workerOf(dir: string, env: Readonly<Record<string, string>>, taskQueue: string) {
  const config = await loadConfig({ cwd: dir, env });
  return startWorker({
    endpoint: { connectionOptions: { address: temporalAddress() }, namespace: 'default' },
    taskQueue,
    bundlePath: (await workflowBundle()).codePath,
    openTarget: (name) =>
      resolveTargetAccess(config, findTarget(config, name).name, { env, stateDir: join(dir, '.sluice') }),
  });
}

/** Steps that install a table, without a backup. */
export function tableSteps(table: string): { steps: string; files: Record<string, string> } {
  return {
    steps: [
      '  - { id: backup, kind: backup, title: No backup, mode: none, reason: a test }',
      `  - { id: install, kind: migrate, title: The table, files: [{ do: do.sql, undo: undo.sql }] }`,
      '',
    ].join('\n'),
    files: { 'do.sql': `create table ${table} (id integer);\n`, 'undo.sql': `drop table ${table};\n` },
  };
}

/** An ANSI escape sequence. */
export const ANSI = new RegExp(`${String.fromCharCode(27)}\\[`);
