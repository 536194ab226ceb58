import { type Command, InvalidArgumentError, Option } from 'commander';
import { parseDuration } from '../config/duration.ts';

export const OUTPUT_FORMATS = ['text', 'json', 'jsonl'] as const;
export type OutputFormat = (typeof OUTPUT_FORMATS)[number];

/** Options that every command takes. */
export interface GlobalOptions {
  readonly output?: OutputFormat;
  readonly json?: boolean;
  readonly target?: string;
  readonly config?: string;
  readonly temporalAddress?: string;
  readonly temporalNamespace?: string;
  readonly temporalUiUrl?: string;
  readonly taskQueue?: string;
  readonly macroDir?: readonly string[];
  readonly backupDir?: string;
}

/** Options of every verb that changes something. */
export interface ChangeOptions extends GlobalOptions {
  readonly dryRun?: boolean;
  readonly yes?: boolean;
  readonly actor?: string;
  readonly reason?: string;
  readonly ticket?: string;
}

/** Options of verbs that can follow a run to its end. */
export interface WatchOptions {
  readonly wait?: boolean;
  /** Milliseconds. */
  readonly timeout?: number;
  readonly stay?: boolean;
}

export function addGlobalOptions(program: Command): Command {
  return program
    .addOption(new Option('--output <format>', 'what stdout holds').choices(OUTPUT_FORMATS).default('text'))
    .option('--json', 'the same as --output json')
    .option('--target <name>', 'the database that is meant (also SLUICE_TARGET)')
    .option('--config <file>', 'project file instead of ./sluice.yaml (also SLUICE_CONFIG)')
    .option('--temporal-address <host:port>', 'Temporal (also TEMPORAL_ADDRESS)')
    .option('--temporal-namespace <name>', 'namespace of Temporal (also TEMPORAL_NAMESPACE)')
    .option('--temporal-ui-url <url>', 'base of links to the Temporal UI (also SLUICE_TEMPORAL_UI_URL)')
    .addOption(new Option('--task-queue <name>', 'task queue of macros').env('SLUICE_TASK_QUEUE'))
    .option('--macro-dir <dir>', 'another folder of macros; may be repeated', collect)
    .option('--backup-dir <dir>', 'folder of backups (also SLUICE_BACKUP_DIR)');
}

/** Adds `--dry-run --yes --actor --reason --ticket`. */
export function changes(command: Command): Command {
  return command
    .option('--dry-run', 'say what would be done, and do nothing')
    .option('--yes', 'do not ask')
    .option('--actor <name>', 'who does it (also SLUICE_ACTOR; else the user of this machine)')
    .option('--reason <text>', 'why; recorded in the evidence')
    .option('--ticket <id>', 'where it was agreed; recorded in the evidence');
}

/** Adds `--wait --timeout --stay`. */
export function follows(command: Command): Command {
  return watches(command.option('--wait', 'follow the run and take its end as the exit code'));
}

/** Adds `--timeout --stay`. */
export function watches(command: Command): Command {
  return command
    .option(
      '--timeout <duration>',
      'stop following after so long (500ms, 30s, 10m, 2h); the run goes on',
      duration,
    )
    .option('--stay', 'go on following while the run waits for a person (so on a terminal)')
    .option('--no-stay', 'end with exit code 6 as soon as the run waits for a person (so off a terminal)');
}

export function outputOf(options: GlobalOptions): OutputFormat {
  return options.json === true ? 'json' : (options.output ?? 'text');
}

export function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}

export function duration(value: string): number {
  const milliseconds = parseDuration(value);
  if (milliseconds === null)
    throw new InvalidArgumentError('Expected a whole number and ms, s, m or h, such as 30s.');
  return milliseconds;
}

export function positiveInt(value: string): number {
  if (!/^[1-9]\d{0,8}$/.test(value)) throw new InvalidArgumentError('Expected a whole number from 1 on.');
  return Number(value);
}

export function countFromZero(value: string): number {
  if (!/^\d{1,9}$/.test(value)) throw new InvalidArgumentError('Expected a whole number from 0 on.');
  return Number(value);
}
