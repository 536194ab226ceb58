import { EXIT, type ExitCode } from '../contracts/error-codes.ts';
import { stopStack } from '../local/stop-stack.ts';
import { withContext } from './context.ts';
import type { GlobalOptions } from './options.ts';
import { note, printResult } from './print.ts';

/** `sluice down` */
export function down(_: readonly string[], options: GlobalOptions): Promise<ExitCode> {
  return withContext(options, async ({ stateDir, env, output }) => {
    const { stopped } = await stopStack({ stateDir, env, progress: note });
    printResult(output, { stopped, stateDir }, () =>
      stopped.length === 0
        ? `nothing ran in ${stateDir}`
        : `stopped ${stopped.join(' and ')}; the data stays in ${stateDir}`,
    );
    return EXIT.done;
  });
}
