import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { byPlace, type Problem, refuseProblems } from '../config/located-error.ts';
import { readYaml, type YamlReading } from '../config/read-yaml.ts';
import { SluiceError } from '../contracts/error-codes.ts';
import { type Manifest, manifestSchema } from './manifest-schema.ts';
import { manifestStepSchema } from './manifest-step-schema.ts';

/** A manifest and the means to name a place in it. */
export interface ReadManifest {
  /** Absolute path of the file. */
  readonly path: string;
  /** The path as errors name it: relative to the working directory where that is shorter. */
  readonly shownAs: string;
  readonly manifest: Manifest;
  readonly locate: YamlReading<Manifest>['locate'];
}

/**
 * Reads and checks a manifest; no file that it names is opened.
 *
 * @throws LocatedError with every problem that was found, by line and column; its code is `manifest_invalid`,
 * or `script_without_undo` where that comes first. `script_missing` where the manifest itself cannot be read.
 */
export async function readManifest(manifestPath: string): Promise<ReadManifest> {
  const absolute = path.resolve(manifestPath);
  const shownAs = shownPath(absolute);
  const text = await readFile(absolute, 'utf8').catch((cause: unknown) => {
    throw new SluiceError(
      'script_missing',
      {
        what: `The manifest ${shownAs} cannot be read.`,
        expected: 'Expected a file macro.yaml in the folder of the macro.',
        safe: 'Nothing was changed.',
      },
      { cause },
    );
  });
  const reading = readYaml(shownAs, text, manifestSchema, 'manifest_invalid');
  const folder = path.basename(path.dirname(absolute));
  const problems = [...reading.problems, ...problemsOfTheWhole(reading, shownAs, folder)];
  refuseProblems(problems.sort(byPlace), 'Nothing was changed.');
  if (reading.value === null) throw new TypeError('a manifest without problems has a value');
  return { path: absolute, shownAs, manifest: reading.value, locate: reading.locate };
}

/** The path relative to the working directory, or the absolute one where that is shorter. */
export function shownPath(absolute: string): string {
  const relative = path.relative(process.cwd(), absolute);
  return relative.length < absolute.length ? relative : absolute;
}

/** What no single step shows: the folder's name, ids given twice, a change before any backup. */
function problemsOfTheWhole(reading: YamlReading<Manifest>, file: string, folder: string): Problem[] {
  const problems: Problem[] = [];
  const add = (at: readonly PropertyKey[], what: string, expected: string) =>
    problems.push({ code: 'manifest_invalid', file, ...reading.locate(at), what, expected });

  const macro = member(reading.raw, 'macro');
  if (typeof macro === 'string' && macro !== folder) {
    add(
      ['macro'],
      `The macro is named \`${macro}\` in a folder named \`${folder}\`.`,
      'Give both the same name.',
    );
  }
  const seen = new Set<string>();
  for (const list of ['steps', 'disable'] as const) {
    for (const [index, step] of items(reading.raw, list).entries()) {
      const id = member(step, 'id');
      if (typeof id !== 'string') continue;
      if (seen.has(id))
        add([list, index, 'id'], `The id \`${id}\` is given twice.`, 'Give each step an id of its own.');
      seen.add(id);
    }
  }
  const steps = items(reading.raw, 'steps').map((step) => manifestStepSchema.safeParse(step));
  if (steps.some((step) => !step.success)) return problems;
  const kinds = steps.map((step) => step.data?.kind);
  const firstBackup = kinds.indexOf('backup');
  for (const [index, kind] of kinds.entries()) {
    if ((kind !== 'migrate' && kind !== 'enable') || (firstBackup !== -1 && firstBackup < index)) continue;
    add(
      ['steps', index],
      `This ${kind} step has no backup before it.`,
      'Put a step of kind backup before it, or one with mode: none and a reason.',
    );
  }
  return problems;
}

function member(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined;
}

function items(value: unknown, key: string): readonly unknown[] {
  const list = member(value, key);
  return Array.isArray(list) ? list : [];
}
