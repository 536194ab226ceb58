import { EXIT, type ExitCode } from '../contracts/error-codes.ts';
import { fine, wrong } from '../local/doctor-part.ts';
import { inspectEnvironment } from '../local/inspect-environment.ts';
import { readEngineVersions } from '../target/install-engine.ts';
import { withSession } from '../target/open-session.ts';
import { withContext } from './context.ts';
import type { GlobalOptions } from './options.ts';
import { printResult } from './print.ts';
import { textTable } from './text-table.ts';

/** `sluice doctor`: starts and changes nothing; exit code 3 where something is wrong. */
export function doctor(_: readonly string[], options: GlobalOptions): Promise<ExitCode> {
  return withContext(options, async ({ stateDir, env, output }) => {
    const parts = await inspectEnvironment({ stateDir, env, inspectTarget });
    printResult(output, parts, () =>
      textTable(
        ['', 'part', 'version', 'rung', 'found or fix'],
        parts.map(({ ok, part, version, rung, found, fix }) => [
          ok ? 'ok' : 'wrong',
          part,
          version ?? '',
          rung ?? '',
          fix === null ? (found ?? '') : `${found === null ? '' : `${found}; `}fix: ${fix}`,
        ]),
      ),
    );
    return parts.every(({ ok }) => ok) ? EXIT.done : EXIT.precondition;
  });
}

async function inspectTarget(url: string) {
  const { installed, shipped } = await withSession(
    { url, applicationName: 'sluice: doctor' },
    readEngineVersions,
  );
  const found = installed === 0 ? 'not installed' : `version ${installed}`;
  return [
    installed === shipped
      ? fine('engine schema', found, { version: String(installed) })
      : wrong('engine schema', found, installed > shipped ? 'upgrade sluice on this machine' : 'sluice init'),
  ];
}
