import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { installBase } from '../sql-units/base-files.ts';
import { ENABLE, SEAM_FILES, WORKER_FILES } from '../sql-worker/support/installed.ts';
import { applyFile } from '../sql-worker/support/run-file.ts';
import { type CliProject, cliProject, runCli } from '../support/run-cli.ts';

export interface RouteProject extends CliProject {
  /** A connection of the superuser. */
  readonly sql: pg.Client;
  /** Runs `sluice route …` in it. */
  route(...args: string[]): ReturnType<typeof runCli>;
  /** Gives the target this `delivery`, as the lines of YAML under it; none takes it away. */
  configure(delivery: string): Promise<void>;
}

export interface RouteProjectOptions {
  readonly major?: 15 | 18;
  /** False: without migration 010 and what comes with it. */
  readonly seam?: boolean;
  /** Variables of the process. */
  readonly env?: Readonly<Record<string, string>>;
}

/** A project whose target has IU Core with the delivery seam built, the worker's gate open and the delivery gate closed. */
export async function routeProject(options: RouteProjectOptions = {}): Promise<RouteProject> {
  const files = [...WORKER_FILES, ...(options.seam === false ? [] : SEAM_FILES), ENABLE];
  const project = await cliProject({
    worker: false,
    major: options.major ?? 15,
    template: {
      name: options.seam === false ? 'cli_routes_without_seam' : 'cli_routes',
      build: async (url) => {
        const client = new pg.Client({ connectionString: url });
        await client.connect();
        try {
          await installBase(client);
          for (const path of files) await applyFile(client, path);
        } finally {
          await client.end();
        }
      },
    },
  });
  const env = { ...project.env, ...options.env };
  const sluice = (...args: string[]) => runCli(args, { cwd: project.dir, env });
  return {
    ...project,
    env,
    sluice,
    sql: await project.database.connect(),
    route: (...args) => sluice('route', ...args),
    async json<T>(...args: string[]) {
      const { stdout, stderr, exitCode } = await sluice(...args, '--json');
      if (stdout === '') throw new Error(`exit code ${exitCode}: ${stderr}`);
      return JSON.parse(stdout) as T;
    },
    async configure(delivery) {
      const lines = delivery.split('\n').map((line) => `      ${line}`);
      await writeFile(
        join(project.dir, 'sluice.yaml'),
        [
          'targets:',
          `  ${project.target}:`,
          '    url: { env: TARGET_URL }',
          '    lock_timeout: 500ms',
          '    statement_timeout: { probe: 2s }',
          ...(delivery === '' ? [] : ['    delivery:', ...lines]),
          '',
        ].join('\n'),
      );
    },
  };
}

/** Opens the delivery gate, or closes it. */
export async function setDeliveryGate(sql: pg.Client, isOpen: boolean): Promise<void> {
  await sql.query(`update dot_config set value = $1 where key = 'iu_core.delivery_enabled'`, [
    String(isOpen),
  ]);
}
