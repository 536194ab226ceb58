import type { Command } from 'commander';
import type { ExitCode } from '../contracts/error-codes.ts';
import type { GlobalOptions } from './options.ts';

/** A command: takes its arguments and options, prints its result, resolves to the exit code. */
export type Handler<Options extends GlobalOptions = GlobalOptions> = (
  args: readonly string[],
  options: Options,
) => Promise<ExitCode>;

/** Makes the action of a command whose module is loaded only when it runs. */
export type Lazily = <Options extends GlobalOptions>(
  load: () => Promise<Handler<Options>>,
) => (this: Command) => Promise<void>;
