import { z } from 'zod';
import { strictObject } from '../config/strict-object.ts';
import { FORBIDDEN_ACTIONS } from '../contracts/forbidden-actions.ts';
import { manifestStepSchema } from './manifest-step-schema.ts';
import { file, kebab, title } from './manifest-values.ts';

/** `macros/<name>/macro.yaml`; its JSON Schema is published as `macros/macro.schema.json`. */
export const manifestSchema = strictObject({
  macro: kebab.meta({ description: 'Name of the macro, which is the name of its folder' }),
  title,
  target: z
    .string()
    .min(1, 'Use the name of a target')
    .optional()
    .meta({ description: 'The only target this macro may be planned for' }),
  lifts: z
    .array(z.literal(Object.keys(FORBIDDEN_ACTIONS).filter(isForbiddenAction)))
    .default([])
    .meta({ description: 'Forbidden actions that this macro names and thereby lifts' }),
  next: kebab.optional().meta({ description: 'The exact next macro' }),
  steps: z.array(manifestStepSchema).min(1, 'Give at least one step'),
  disable: z
    .array(strictObject({ id: kebab, title, file }))
    .default([])
    .meta({ description: 'Runs when a rollback script refuses because history exists' }),
}).meta({ title: 'Manifest of a sluice macro' });

export type Manifest = z.infer<typeof manifestSchema>;

function isForbiddenAction(name: string): name is keyof typeof FORBIDDEN_ACTIONS {
  return Object.hasOwn(FORBIDDEN_ACTIONS, name);
}
