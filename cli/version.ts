import { readFile } from 'node:fs/promises';
import { EXIT, type ExitCode } from '../contracts/error-codes.ts';
import { type GlobalOptions, outputOf } from './options.ts';
import { printResult } from './print.ts';

/** Version of the JSON that commands print; raised by a change that breaks a reader. */
const OUTPUT_VERSION = 1;

/** `sluice version` */
export async function version(_: readonly string[], options: GlobalOptions): Promise<ExitCode> {
  const text = await readFile(new URL('../package.json', import.meta.url), 'utf8');
  const { version: sluice } = JSON.parse(text) as { version: string };
  const result = { sluice, output: OUTPUT_VERSION, node: process.versions.node };
  printResult(
    outputOf(options),
    result,
    () => `sluice ${sluice} (output ${OUTPUT_VERSION}, node ${result.node})`,
  );
  return EXIT.done;
}
