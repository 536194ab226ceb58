import type { Evidence } from './evidence-document.ts';

/** The document as JSON text, the form that `verifyEvidence` checks. */
export function renderJson(evidence: Evidence): string {
  return `${JSON.stringify(evidence, null, 2)}\n`;
}
