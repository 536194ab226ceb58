import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '..');

/** The names of the specs, which are sentences. */
export function specNames(): string[] {
  return namesIn('specs', '.spec');
}

/** The names of the expected outputs: the same as those of the specs. */
export function expectedNames(): string[] {
  return namesIn('expected', '.out');
}

export function specText(name: string): string {
  return readFileSync(join(ROOT, 'specs', `${name}.spec`), 'utf8');
}

/** The reviewed output of a spec; empty where nobody has reviewed one. */
export function expectedText(name: string): string {
  const path = join(ROOT, 'expected', `${name}.out`);
  return existsSync(path) ? readFileSync(path, 'utf8') : '';
}

/** Writes an output down as expected, for somebody to review. */
export function acceptText(name: string, printed: string): void {
  writeFileSync(join(ROOT, 'expected', `${name}.out`), printed);
}

/** The first line that is not as expected, and the step it belongs to; undefined where every letter is. */
export function firstDifference(printed: string, expected: string): string | undefined {
  if (printed === expected) return undefined;
  const [lines, wanted] = [printed.split('\n'), expected.split('\n')];
  const at = Array.from({ length: Math.max(lines.length, wanted.length) }).findIndex(
    (_, line) => lines[line] !== wanted[line],
  );
  const step = wanted.slice(0, at + 1).findLast((line) => line.startsWith('step '));
  const shown = (line: string | undefined) => (line === undefined ? 'nothing' : JSON.stringify(line));
  return `line ${at + 1}, after "${step ?? ''}": ${shown(lines[at])}, expected ${shown(wanted[at])}`;
}

function namesIn(dir: string, ending: string): string[] {
  return readdirSync(join(ROOT, dir))
    .filter((file) => file.endsWith(ending))
    .map((file) => file.slice(0, -ending.length))
    .sort();
}
