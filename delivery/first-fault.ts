import type { z } from 'zod';
import { explainIssue } from '../config/explain-issue.ts';

/** The first fault that zod found in a route's config, in one sentence without a full stop; no value is repeated. */
export function firstFault(error: z.ZodError): string {
  const issue = error.issues[0];
  const place = issue === undefined ? '' : issue.path.map(String).join('.');
  const [found] = issue === undefined ? [] : explainIssue({ ...issue, path: ['config', ...issue.path] });
  if (issue === undefined || found === undefined) return 'config is not valid';
  const what = issue.code === 'custom' ? `\`config.${place}\` is not valid` : bare(found.what);
  const expected = bare(issue.code === 'custom' ? issue.message : found.expected);
  return expected === '' ? what : `${what} (${expected})`;
}

function bare(sentence: string): string {
  return sentence.replace(/\.$/, '');
}
