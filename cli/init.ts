import { EXIT, type ExitCode, SluiceError } from '../contracts/error-codes.ts';
import { registerSearchAttributes } from '../local/temporal-ready.ts';
import { installEngine, readEngineVersions } from '../target/install-engine.ts';
import { type Context, withContext } from './context.ts';
import { explainTemporalError } from './explain-temporal-error.ts';
import type { ChangeOptions } from './options.ts';
import { note, printResult } from './print.ts';

/** `sluice init [--target NAME]`: running it again changes nothing. */
export function init(_: readonly string[], options: ChangeOptions): Promise<ExitCode> {
  return withContext(options, async (context) => {
    const result = { target: context.targetName(), ...(await prepare(context, options.dryRun === true)) };
    printResult(context.output, result, () =>
      [
        `target ${result.target}: engine schema version ${result.engine.before} -> ${result.engine.after}`,
        `search attributes: ${result.searchAttributes}`,
      ].join('\n'),
    );
    if (options.dryRun === true) note('dry run: nothing was changed');
    return EXIT.done;
  });
}

/** Installs or upgrades the engine's tables in the target, and registers the search attributes. */
export async function prepare(context: Context, isDry: boolean) {
  const { endpoint, address } = await context.temporalServer();
  const engine = await context.session('init', async (client) => {
    const { installed: before, shipped } = await readEngineVersions(client);
    const after = isDry ? Math.max(before, shipped) : (await installEngine(client)).installed;
    return { before, after };
  });
  if (!isDry) {
    await registerSearchAttributes(endpoint, 10_000).catch((error: unknown) => {
      throw unreachable(error, address);
    });
  }
  return {
    engine,
    searchAttributes: isDry ? ('not_looked_at' as const) : ('registered' as const),
    temporal: address,
  };
}

function unreachable(error: unknown, address: string): unknown {
  const told = explainTemporalError(error);
  if (told !== null) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new SluiceError(
    'temporal_unreachable',
    {
      what: `Temporal at ${address} does not answer, or does not register search attributes: ${message}.`,
      expected: 'A server that answers within 10 s; `sluice doctor` looks.',
      safe: 'The engine tables are installed; run it again once Temporal answers.',
    },
    { cause: error },
  );
}
