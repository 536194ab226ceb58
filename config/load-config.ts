import { homedir } from 'node:os';
import path from 'node:path';
import { SluiceError } from '../contracts/error-codes.ts';
import type { Config, Origin, TargetConfig } from './config.ts';
import type { Settings } from './config-schema.ts';
import { parseDuration } from './duration.ts';
import type { ConfigFlags } from './flag-settings.ts';
import { mergeDelivery } from './merge-delivery.ts';
import { type Picked, toUrlRef } from './picked-setting.ts';
import { environmentLayer, fileLayer, flagLayer, type SettingsLayer } from './settings-layer.ts';

export interface LoadConfigOptions {
  /** Working directory; the process's by default. */
  readonly cwd?: string;
  /** The process's by default. */
  readonly env?: NodeJS.ProcessEnv;
  readonly flags?: ConfigFlags;
}

/** The target there is when none is configured: the embedded PostgreSQL, or `DATABASE_URL`. */
const LOCAL = 'local';

/**
 * Reads the configuration: flag > environment > project file (`./sluice.yaml`, or what `--config` or
 * `SLUICE_CONFIG` names) > user file (`$XDG_CONFIG_HOME/sluice/sluice.yaml`) > default, value by value. No
 * secret is resolved and nothing is connected to.
 *
 * @throws SluiceError `configuration_invalid`; for a file a LocatedError with each problem's line and column
 */
export async function loadConfig(options: LoadConfigOptions = {}): Promise<Config> {
  const cwd = path.resolve(options.cwd ?? process.cwd());
  const env = options.env ?? process.env;
  const layers = await readLayers(cwd, env, options.flags ?? {});
  return new Merge(layers, cwd).config();
}

async function readLayers(cwd: string, env: NodeJS.ProcessEnv, flags: ConfigFlags): Promise<SettingsLayer[]> {
  const named = flags.config ?? (env.SLUICE_CONFIG || undefined);
  const userFolder = env.XDG_CONFIG_HOME || path.join(env.HOME || homedir(), '.config');
  const layers = [
    flagLayer(flags, cwd),
    environmentLayer(env, cwd),
    await fileLayer('project', path.resolve(cwd, named ?? 'sluice.yaml'), { mustExist: named !== undefined }),
    await fileLayer('user', path.resolve(cwd, userFolder, 'sluice', 'sluice.yaml'), { mustExist: false }),
  ];
  return layers.filter((layer) => layer !== null);
}

/** Takes each value from the first layer that has it, and keeps its origin. */
class Merge {
  private readonly origins = new Map<string, Origin>();
  private readonly layers: readonly SettingsLayer[];
  private readonly cwd: string;

  constructor(layers: readonly SettingsLayer[], cwd: string) {
    this.layers = layers;
    this.cwd = cwd;
  }

  config(): Config {
    const backup = {
      dir: this.path(['backup', 'dir'], (s) => s.backup?.dir, path.join(this.cwd, '.sluice', 'backups')),
      keep: this.value(['backup', 'keep'], (s) => s.backup?.keep, 10),
    };
    const names = new Set(this.layers.flatMap(({ settings }) => Object.keys(settings.targets ?? {})));
    if (names.size === 0) names.add(LOCAL);
    const targets = Object.fromEntries([...names].map((name) => [name, this.target(name, backup.dir)]));
    const temporal = {
      address: this.value(['temporal', 'address'], (s) => s.temporal?.address, null),
      namespace: this.value(['temporal', 'namespace'], (s) => s.temporal?.namespace, 'default'),
      uiUrl: this.value<string | null>(
        ['temporal', 'ui_url'],
        (s) => s.temporal?.ui_url?.replace(/\/+$/, ''),
        null,
      ),
    };
    const dirs = this.pick(['macro_dirs'], (s) => s.macro_dirs);
    const macroDirs = (dirs?.value ?? []).map((dir) => path.resolve(dirs?.from.folder ?? this.cwd, dir));
    return {
      targets,
      defaultTarget: this.defaultTarget(names),
      temporal,
      macroDirs,
      backup,
      origins: this.origins,
    };
  }

  private target(name: string, backupDir: string): TargetConfig {
    const key = (...rest: string[]) => ['targets', name, ...rest];
    const of = (settings: Settings) => settings.targets?.[name];
    const url = this.pick(key('url'), (s) => of(s)?.url);
    if (url === null && name !== LOCAL) throw this.withoutUrl(name);
    const restore = this.pick(key('restore_server'), (s) => of(s)?.restore_server);
    const timeout = (kind: 'check' | 'migrate' | 'probe', standard: string) =>
      this.milliseconds(key('statement_timeout', kind), (s) => of(s)?.statement_timeout?.[kind], standard);
    return {
      name,
      url: url === null ? { kind: 'local' } : toUrlRef(url),
      schema: this.value(key('schema'), (s) => of(s)?.schema, 'public'),
      lockTimeoutMs: this.milliseconds(key('lock_timeout'), (s) => of(s)?.lock_timeout, '3s'),
      statementTimeoutMs: {
        check: timeout('check', '30s'),
        migrate: timeout('migrate', '10m'),
        probe: timeout('probe', '60s'),
      },
      backupDir: this.path(key('backup_dir'), (s) => of(s)?.backup_dir, path.join(backupDir, name)),
      restoreServer: restore === null ? null : toUrlRef(restore),
      maintenanceDatabase: this.value(
        key('maintenance_database'),
        (s) => of(s)?.maintenance_database,
        'postgres',
      ),
      delivery: mergeDelivery(name, this.layers, (at, get) => this.pick(at, get)),
    };
  }

  private defaultTarget(names: ReadonlySet<string>): string | null {
    const picked = this.pick(['default_target'], (s) => s.default_target);
    if (picked === null) {
      const [only] = names;
      if (names.has(LOCAL)) return LOCAL;
      return names.size === 1 && only !== undefined ? only : null;
    }
    if (names.has(picked.value)) return picked.value;
    throw new SluiceError('target_not_found', {
      what: `${picked.from.sourceOf(['default_target'])} names the target \`${picked.value}\`, which is not configured.`,
      expected: `Targets: ${[...names].join(', ')}.`,
      safe: 'Nothing was changed.',
    });
  }

  private pick<T>(key: readonly string[], get: (settings: Settings) => T | undefined): Picked<T> | null {
    for (const from of this.layers) {
      const value = get(from.settings);
      if (value === undefined) continue;
      this.origins.set(key.join('.'), { layer: from.layer, source: from.sourceOf(key) });
      return { value, from };
    }
    this.origins.set(key.join('.'), { layer: 'default', source: 'default' });
    return null;
  }

  private value<T>(key: readonly string[], get: (settings: Settings) => T | undefined, standard: T): T {
    return this.pick(key, get)?.value ?? standard;
  }

  private path(
    key: readonly string[],
    get: (settings: Settings) => string | undefined,
    standard: string,
  ): string {
    const picked = this.pick(key, get);
    return picked === null ? standard : path.resolve(picked.from.folder, picked.value);
  }

  private milliseconds(
    key: readonly string[],
    get: (settings: Settings) => string | undefined,
    standard: string,
  ): number {
    return parseDuration(this.value(key, get, standard)) ?? 0;
  }

  private withoutUrl(name: string): SluiceError {
    const from = this.layers.find(({ settings }) => settings.targets?.[name] !== undefined);
    return new SluiceError('configuration_invalid', {
      what: `${from?.sourceOf(['targets', name]) ?? ''}: the target \`${name}\` has no url.`,
      expected: 'Give it one: url: { env: NAME }, { file: PATH } or { command: [PROGRAM, ARG, …] }.',
      safe: 'Nothing was changed.',
    });
  }
}
