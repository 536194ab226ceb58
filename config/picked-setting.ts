import path from 'node:path';
import type { UrlRef } from './config.ts';
import type { SecretRef } from './secret-ref.ts';
import type { SecretSetting, UrlSetting } from './setting-parts.ts';
import type { SettingsLayer } from './settings-layer.ts';

/** A value, and the layer that gives it. */
export interface Picked<T> {
  readonly value: T;
  readonly from: SettingsLayer;
}

/** Where a URL is to be had; the path of a file begins at the folder of its layer. */
export function toUrlRef({ value, from }: Picked<UrlSetting>): Exclude<UrlRef, { kind: 'local' }> {
  return typeof value === 'string' ? { kind: 'plain', url: value } : toSecretRef({ value, from });
}

/** Where a secret is to be had, likewise. */
export function toSecretRef({ value, from }: Picked<SecretSetting>): SecretRef {
  if ('env' in value) return { kind: 'env', name: value.env };
  if ('file' in value) return { kind: 'file', path: path.resolve(from.folder, value.file) };
  return { kind: 'command', argv: value.command, cwd: from.folder };
}
