import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { SluiceError } from '../contracts/error-codes.ts';
import type { Layer } from './config.ts';
import { configSchema, type Settings } from './config-schema.ts';
import { ENVIRONMENT_VARIABLES, environmentSettings } from './environment-settings.ts';
import { type ConfigFlags, FLAG_NAMES, flagSettings } from './flag-settings.ts';
import { refuseProblems } from './located-error.ts';
import { readYaml } from './read-yaml.ts';

/** What one layer says, and where it says it. */
export interface SettingsLayer {
  readonly layer: Layer;
  readonly settings: Settings;
  /** Folder that relative paths of this layer begin at. */
  readonly folder: string;
  /** The flag, the variable, or the `file:line:column` of a value. */
  readonly sourceOf: (key: readonly string[]) => string;
}

export function flagLayer(flags: ConfigFlags, cwd: string): SettingsLayer {
  const sourceOf = (key: readonly string[]) =>
    String(Reflect.get(FLAG_NAMES, key.join('.')) ?? key.join('.'));
  return { layer: 'flag', settings: flagSettings(flags), folder: cwd, sourceOf };
}

export function environmentLayer(env: NodeJS.ProcessEnv, cwd: string): SettingsLayer {
  const sourceOf = (key: readonly string[]) =>
    String(Reflect.get(ENVIRONMENT_VARIABLES, key.join('.')) ?? key.join('.'));
  return { layer: 'environment', settings: environmentSettings(env), folder: cwd, sourceOf };
}

/**
 * A configuration file as a layer; null where it does not exist, unless it was asked for by name.
 *
 * @throws LocatedError `configuration_invalid` with every problem of the file
 */
export async function fileLayer(
  layer: 'project' | 'user',
  file: string,
  options: { readonly mustExist: boolean },
): Promise<SettingsLayer | null> {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (!options.mustExist && (error.code === 'ENOENT' || error.code === 'ENOTDIR')) return null;
    throw new SluiceError('configuration_invalid', {
      what: `The configuration ${file} cannot be read (${error.code ?? 'unknown'}).`,
      expected: 'Correct the path, or make the file readable.',
      safe: 'Nothing was changed.',
    });
  });
  if (text === null) return null;
  const reading = readYaml(file, text, configSchema, 'configuration_invalid');
  refuseProblems(reading.problems, 'Nothing was changed.');
  const sourceOf = (key: readonly string[]) => {
    const { line, column } = reading.locate(key, true);
    return `${file}:${line}:${column}`;
  };
  return { layer, settings: reading.value ?? {}, folder: path.dirname(file), sourceOf };
}
