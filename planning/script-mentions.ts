import type { Manifest } from './manifest-schema.ts';
import type { ManifestStep } from './manifest-step-schema.ts';

/**
 * What a file is for. `change` runs forward in a transaction, `outside` forward without one, `undo` backward
 * (disable steps too), `read` in a READ ONLY transaction, `probe` in one that is rolled back.
 */
export type ScriptRole = 'change' | 'outside' | 'undo' | 'read' | 'probe';

/** One place of a manifest that names a file. */
export interface ScriptMention {
  /** As the manifest writes it. */
  readonly file: string;
  readonly role: ScriptRole;
  /** Path of the value in the manifest. */
  readonly at: readonly (string | number)[];
}

/** Every place of a manifest that names a file, in order. */
export function scriptMentions(manifest: Manifest): ScriptMention[] {
  const steps = manifest.steps.flatMap((step, index) =>
    mentionsOf(step).map((mention) => ({ ...mention, at: ['steps', index, ...mention.at] })),
  );
  const disable = manifest.disable.map(
    ({ file }, index): ScriptMention => ({ file, role: 'undo', at: ['disable', index, 'file'] }),
  );
  return [...steps, ...disable];
}

function mentionsOf(step: ManifestStep): ScriptMention[] {
  switch (step.kind) {
    case 'check':
    case 'verify':
      return listed(step.files, 'read', 'files');
    case 'probe':
      return [
        ...listed(step.files, 'probe', 'files'),
        ...(typeof step.after === 'string'
          ? one(step.after, 'read', ['after'])
          : listed(step.after ?? [], 'read', 'after')),
      ];
    case 'migrate':
    case 'enable':
      return [
        ...step.files.flatMap((pair, index) => [
          ...one(pair.do, pair.done_when === undefined ? 'change' : 'outside', ['files', index, 'do']),
          ...one(pair.undo, 'undo', ['files', index, 'undo']),
          ...one(pair.done_when, 'read', ['files', index, 'done_when']),
        ]),
        ...one(step.holds, 'read', ['holds']),
      ];
    case 'observe':
      return step.metrics.flatMap((metric, index) => one(metric.file, 'read', ['metrics', index, 'file']));
    case 'backup':
    case 'approve':
    case 'run':
      return [];
  }
}

function one(file: string | undefined, role: ScriptRole, at: ScriptMention['at']): ScriptMention[] {
  return file === undefined ? [] : [{ file, role, at }];
}

function listed(files: readonly string[], role: ScriptRole, key: string): ScriptMention[] {
  return files.flatMap((file, index) => one(file, role, [key, index]));
}
