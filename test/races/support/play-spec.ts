import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { serverEnvironment } from '../../../local/server-environment.ts';
import { findIsolationtester } from './find-isolationtester.ts';

/** After this many seconds isolationtester cancels a step that is still waiting. */
const STEP_SECONDS = 20;

/**
 * Plays a spec with isolationtester on a database and answers what it printed. Each session's
 * application_name is `race/` and its name in the spec.
 * @throws {Error} with what it printed, where it could not play the spec to its end
 */
export async function playSpec(url: string, spec: string): Promise<string> {
  const { username, password, hostname, port, pathname } = new URL(url);
  const tester = spawn(
    findIsolationtester(),
    [`host=${hostname} port=${port} user=${username} dbname=${pathname.slice(1)}`],
    {
      env: {
        ...serverEnvironment(),
        PGPASSWORD: decodeURIComponent(password),
        PGAPPNAME: 'race',
        PGISOLATIONTIMEOUT: String(STEP_SECONDS),
      },
    },
  );
  const ended = new Promise<number | null>((resolve, reject) => {
    tester.once('error', reject).once('close', resolve);
  });
  tester.stdin.on('error', () => undefined).end(spec);
  const [printed, complained, code] = await Promise.all([text(tester.stdout), text(tester.stderr), ended]);
  if (code !== 0 || complained !== '') {
    throw new Error(`isolationtester ended with ${code}:\n${complained}\n${printed}`);
  }
  return plain(printed);
}

/** Without what differs from run to run: process ids; a spec prints no other identity and no time. */
export function plain(printed: string): string {
  return printed.replace(/\bpid \d+/g, 'pid N');
}
