import { readFile } from 'node:fs/promises';
import { EXIT, type ExitCode, SluiceError } from '../contracts/error-codes.ts';
import { verifyEvidence } from '../evidence/verify-evidence.ts';
import { type GlobalOptions, outputOf } from './options.ts';
import { printResult } from './print.ts';

/** `sluice evidence verify FILE`: exit 0 where everything holds, 3 where it does not. Needs no server. */
export async function evidenceVerify(
  [file = '']: readonly string[],
  options: GlobalOptions,
): Promise<ExitCode> {
  const json = await readFile(file, 'utf8').catch((error: Error) => {
    throw new SluiceError('usage', {
      what: `${file} cannot be read: ${error.message}.`,
      expected: 'The JSON file of a report.',
      safe: 'Nothing was changed.',
    });
  });
  const verified = verifyEvidence(json);
  printResult(outputOf(options), verified, () =>
    [
      `${verified.verdict}: ${verified.rows} rows, last hash ${verified.head ?? 'none'}`,
      ...verified.problems.map(({ path, seq, what }) => `  ${seq === null ? path : `row ${seq}`}: ${what}`),
      ...(verified.ok
        ? ['compare the last hash with the target: select hash from sluice.evidence … order by seq desc']
        : []),
    ].join('\n'),
  );
  return verified.ok ? EXIT.done : EXIT.precondition;
}
