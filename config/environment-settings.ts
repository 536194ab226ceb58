import path from 'node:path';
import { SluiceError } from '../contracts/error-codes.ts';
import { configSchema, type Settings } from './config-schema.ts';

/** Variables of the environment by the key of `sluice.yaml` that they stand for. */
export const ENVIRONMENT_VARIABLES = {
  default_target: 'SLUICE_TARGET',
  'targets.local.url': 'DATABASE_URL',
  'temporal.address': 'TEMPORAL_ADDRESS',
  'temporal.namespace': 'TEMPORAL_NAMESPACE',
  'temporal.ui_url': 'SLUICE_TEMPORAL_UI_URL',
  macro_dirs: 'SLUICE_MACRO_DIRS',
  'backup.dir': 'SLUICE_BACKUP_DIR',
  'backup.keep': 'SLUICE_BACKUP_KEEP',
} as const;

/**
 * What the environment says; an empty variable says nothing. `DATABASE_URL` is the target `local`; only its
 * name is kept here.
 *
 * @throws SluiceError `configuration_invalid`
 */
export function environmentSettings(env: NodeJS.ProcessEnv): Settings {
  const value = (key: keyof typeof ENVIRONMENT_VARIABLES) => env[ENVIRONMENT_VARIABLES[key]] || undefined;
  const keep = value('backup.keep');
  const dirs = value('macro_dirs');
  const local = value('targets.local.url') === undefined ? undefined : { url: { env: 'DATABASE_URL' } };
  const said = {
    default_target: value('default_target'),
    targets: local === undefined ? undefined : { local },
    temporal: {
      address: value('temporal.address'),
      namespace: value('temporal.namespace'),
      ui_url: value('temporal.ui_url'),
    },
    macro_dirs: dirs?.split(path.delimiter).filter((dir) => dir !== ''),
    backup: { dir: value('backup.dir'), keep: keep === undefined ? undefined : Number(keep) },
  };
  return checkedSettings(said, (key) => `The variable ${Reflect.get(ENVIRONMENT_VARIABLES, key) ?? key}`);
}

/** Settings that come from no file, against the same rules; `name` says which one is wrong. */
export function checkedSettings(said: unknown, name: (key: string) => string): Settings {
  const checked = configSchema.safeParse(said);
  if (checked.success) return checked.data;
  const [issue] = checked.error.issues;
  throw new SluiceError('configuration_invalid', {
    what: `${name(issue?.path.map(String).join('.') ?? '')} has a value that is not allowed.`,
    expected: `${issue?.message ?? 'Expected another value'}.`,
    safe: 'Nothing was changed.',
  });
}
