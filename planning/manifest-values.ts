import { z } from 'zod';
import { DURATION_PATTERN } from '../config/duration.ts';

export const kebab = z
  .string()
  .max(60, 'Use at most 60 characters')
  .regex(/^[a-z0-9]+(-[a-z0-9]+)*$/, 'Use lower-case letters, digits and single hyphens, such as open-gate');
export const title = z
  .string()
  .max(160, 'Use at most 160 characters')
  .regex(/^\S[^\r\n]*$/, 'Use one line that says what happens');
export const reason = z.string().regex(/\S/, 'Give the reason in words');
export const duration = z
  .string()
  .regex(DURATION_PATTERN, 'Use a whole number and ms, s, m or h, such as 500ms, 2s, 10m or 24h')
  .meta({ examples: ['500ms', '2s', '10m', '24h'] });
export const file = z
  .string()
  .regex(/^[^\\/\0][^\\\0]*$/, 'Use a path relative to the folder of the manifest, with forward slashes')
  .meta({ description: 'SQL file, relative to the folder of this manifest' });
export const files = z.array(file).min(1, 'Name at least one SQL file');
export const scalar = z.union(
  [z.string(), z.number(), z.boolean(), z.null()],
  'Use a text, a number, true, false or null',
);
