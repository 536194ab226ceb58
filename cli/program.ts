import { Command, CommanderError } from 'commander';
import { EXIT, type ExitCode } from '../contracts/error-codes.ts';
import { addBackupCommands } from './backup.ts';
import { addDeadLetterCommands } from './dead-letter.ts';
import { addEvidenceCommands } from './evidence.ts';
import { addIuCommands } from './iu.ts';
import type { Lazily } from './lazily.ts';
import { addMacroCommands } from './macro.ts';
import { addGlobalOptions } from './options.ts';
import { addOutboxCommands } from './outbox.ts';
import { addRouteCommands } from './route.ts';
import { addScheduleCommands } from './schedule.ts';
import { addStackCommands } from './stack.ts';

/**
 * Runs one command and resolves to its exit code; every error ends here. `prepare` makes the modules of the
 * commands loadable and is called only where a command runs, not for help.
 */
export async function runCommandLine(argv: readonly string[], prepare: () => Promise<void>): Promise<number> {
  let exit: ExitCode = EXIT.done;
  const asJson = argv.includes('--json') || /--output[= ]jsonl?\b/.test(argv.join(' '));
  const lazily: Lazily = (load) =>
    async function run(this: Command) {
      await prepare();
      const { endQuietly } = await import('./end-quietly.ts');
      endQuietly();
      const handle = await load();
      exit = await handle(this.args, this.optsWithGlobals());
    };
  try {
    await buildProgram(lazily).parseAsync(argv, { from: 'user' });
    return exit;
  } catch (error) {
    if (error instanceof CommanderError) return usageExit(error, asJson);
    await prepare();
    const { reportError } = await import('./report-error.ts');
    return reportError(error, asJson);
  } finally {
    await flushed();
  }
}

export function buildProgram(lazily: Lazily): Command {
  const program = new Command('sluice')
    .description('Makes risky PostgreSQL change durable: governed macros as Temporal workflows.')
    .exitOverride()
    .configureOutput({ outputError: () => undefined })
    .configureHelp({ showGlobalOptions: true })
    .helpOption('-h, --help', 'say what the command takes')
    .helpCommand('help [command]', 'the same for a command')
    .addHelpText('after', EXIT_CODES);
  addGlobalOptions(program);
  addStackCommands(program, lazily);
  addMacroCommands(program, lazily);
  addBackupCommands(program, lazily);
  addOutboxCommands(program, lazily);
  addRouteCommands(program, lazily);
  addDeadLetterCommands(program, lazily);
  addScheduleCommands(program, lazily);
  addIuCommands(program, lazily);
  addEvidenceCommands(program, lazily);
  return program;
}

const EXIT_CODES = `
Exit codes: 0 done, 1 unexpected, 2 usage or configuration, 3 precondition failed and nothing changed, 4 failed and
rolled back, 5 needs action, 6 waiting, 7 not found, 8 conflict, 69 Temporal or PostgreSQL unreachable, 130 interrupted.`;

function usageExit(error: CommanderError, asJson: boolean): number {
  if (error.exitCode === 0) return EXIT.done;
  if (error.code === 'commander.help') return EXIT.usage;
  const what = error.message
    .replace(/^error: /, '')
    .replace(/\n/g, ' ')
    .replace(/^./, (c) => c.toUpperCase());
  const sentence = /[.!?)]$/.test(what) ? what : `${what}.`;
  const text = {
    what: sentence,
    expected: '`sluice help` shows the commands, `--help` what one takes.',
    safe: 'Nothing was changed.',
  };
  process.stderr.write(
    asJson
      ? `${JSON.stringify({ error: { code: 'usage', exit: EXIT.usage, ...text } })}\n`
      : `sluice: ${text.what}\n  ${text.expected}\n  ${text.safe}\n`,
  );
  return EXIT.usage;
}

/** What was printed has left this process. */
async function flushed(): Promise<void> {
  for (const stream of [process.stdout, process.stderr]) {
    await new Promise((resolve) => stream.write('', resolve));
  }
}
