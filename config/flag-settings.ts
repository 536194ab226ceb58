import type { Settings } from './config-schema.ts';
import { checkedSettings } from './environment-settings.ts';

/** What the command line may say of the configuration. */
export interface ConfigFlags {
  /** Project file to read instead of `./sluice.yaml`. */
  readonly config?: string;
  readonly target?: string;
  readonly temporalAddress?: string;
  readonly temporalNamespace?: string;
  readonly temporalUiUrl?: string;
  readonly macroDirs?: readonly string[];
  readonly backupDir?: string;
  readonly backupKeep?: number;
}

/** Flags by the key of `sluice.yaml` that they stand for. */
export const FLAG_NAMES = {
  default_target: '--target',
  'temporal.address': '--temporal-address',
  'temporal.namespace': '--temporal-namespace',
  'temporal.ui_url': '--temporal-ui-url',
  macro_dirs: '--macro-dir',
  'backup.dir': '--backup-dir',
  'backup.keep': '--backup-keep',
} as const;

/** @throws SluiceError `configuration_invalid` */
export function flagSettings(flags: ConfigFlags): Settings {
  const said = {
    default_target: flags.target,
    temporal: {
      address: flags.temporalAddress,
      namespace: flags.temporalNamespace,
      ui_url: flags.temporalUiUrl,
    },
    macro_dirs: flags.macroDirs,
    backup: { dir: flags.backupDir, keep: flags.backupKeep },
  };
  return checkedSettings(said, (key) => `The flag ${Reflect.get(FLAG_NAMES, key) ?? key}`);
}
