import { EXIT, type ExitCode } from '../contracts/error-codes.ts';
import { importMarkdown } from '../iu/import-markdown.ts';
import { actorOf } from './actor.ts';
import { withContext } from './context.ts';
import type { ChangeOptions } from './options.ts';
import { note, printResult } from './print.ts';
import { usage } from './usage.ts';

type ImportOptions = ChangeOptions & {
  readonly prefix?: string;
  readonly exclude?: readonly string[];
  readonly commit?: string;
};

/** `sluice iu import DIR` */
export function iuImport([dir = '']: readonly string[], options: ImportOptions): Promise<ExitCode> {
  return withContext(options, async (context) => {
    if (options.dryRun === true)
      throw usage('iu import has no dry run.', 'Import into a scratch target to see what it does.');
    const actor = actorOf(options, context.env);
    const { prefix, exclude, commit } = options;
    const result = await context.session('iu import', (client, { schema }) =>
      importMarkdown(client, {
        dir,
        actor,
        schema,
        ...(prefix === undefined ? {} : { prefix }),
        ...(exclude === undefined ? {} : { exclude }),
        ...(commit === undefined ? {} : { source: { commit } }),
      }),
    );
    printResult(context.output, result, () => {
      const { files, units, created, versionsAdded, unchanged, events } = result;
      return `${files} files, ${units} units: ${created} created, ${versionsAdded} versions added, ${unchanged} unchanged; ${events} events`;
    });
    for (const code of result.missing) note(`gone from the folder, kept as a unit: ${code}`);
    for (const link of result.links) note(`symbolic link, not followed: ${link}`);
    return EXIT.done;
  });
}
